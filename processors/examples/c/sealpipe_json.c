/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* JSON (RFC 8259) without a tree: a line is checked once as a whole, with a bound on depth and no
 * recursion, and then walked. Walking trusts the check, and still never leaves the slice. */

#include "sealpipe.h"

#include <stdlib.h>
#include <string.h>

/* What serde_json and most others take. */
#define MAX_DEPTH 128

typedef struct {
    const char *at, *end;
} cursor;

static bool is_at(const cursor *c, char wanted)
{
    return c->at < c->end && *c->at == wanted;
}

static bool eat(cursor *c, char wanted)
{
    if (!is_at(c, wanted))
        return false;
    c->at++;
    return true;
}

static void skip_space(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
        c->at++;
}

static bool eat_digits(cursor *c)
{
    const char *begin = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        c->at++;
    return c->at > begin;
}

static bool eat_number(cursor *c)
{
    eat(c, '-');
    if (!eat(c, '0') && !eat_digits(c))
        return false;
    if (eat(c, '.') && !eat_digits(c))
        return false;
    if (is_at(c, 'e') || is_at(c, 'E')) {
        c->at++;
        if (!eat(c, '+'))
            eat(c, '-');
        return eat_digits(c);
    }
    return true;
}

static bool eat_word(cursor *c, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0)
        return false;
    c->at += n;
    return true;
}

/* One character of UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing past U+10FFFF. */
static bool eat_utf8(cursor *c)
{
    const unsigned char *b = (const unsigned char *)c->at;
    size_t left = (size_t)(c->end - c->at);
    size_t n = b[0] < 0x80 ? 1 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
    if (n > left || (b[0] >= 0x80 && b[0] < 0xc2) || b[0] > 0xf4)
        return false;
    for (size_t i = 1; i < n; i++)
        if ((b[i] & 0xc0) != 0x80)
            return false;
    if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f) ||
        (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f))
        return false;
    c->at += n;
    return true;
}

/* Four hex digits, or -1. */
static int eat_hex(cursor *c)
{
    int value = 0;
    if (c->end - c->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char digit = *c->at++;
        int lower = digit | 0x20;
        if (digit >= '0' && digit <= '9')
            value = value * 16 + (digit - '0');
        else if (lower >= 'a' && lower <= 'f')
            value = value * 16 + (lower - 'a' + 10);
        else
            return -1;
    }
    return value;
}

static bool eat_string(cursor *c)
{
    if (!eat(c, '"'))
        return false;
    while (c->at < c->end && *c->at != '"') {
        if ((unsigned char)*c->at < 0x20)
            return false;
        if (eat(c, '\\')) {
            if (eat(c, 'u')) {
                if (eat_hex(c) < 0)
                    return false;
            } else if (c->at == c->end || *c->at == '\0' || !strchr("\"\\/bfnrt", *c->at++)) {
                return false;
            }
        } else if (!eat_utf8(c)) {
            return false;
        }
    }
    return eat(c, '"');
}

static bool eat_scalar(cursor *c)
{
    if (is_at(c, '"'))
        return eat_string(c);
    return eat_word(c, "true") || eat_word(c, "false") || eat_word(c, "null") || eat_number(c);
}

/* A member's name and the colon, if that is what comes next. */
static bool eat_name(cursor *c)
{
    skip_space(c);
    if (!eat_string(c))
        return false;
    skip_space(c);
    return eat(c, ':');
}

const char *sp_json_check(const char *text, size_t n_bytes, sp_json *value)
{
    static const char wrong[] = "it is not JSON in UTF-8";
    cursor c = {text, text + n_bytes};
    char closers[MAX_DEPTH];
    size_t depth = 0;
    skip_space(&c);
    value->text = c.at;
    for (;;) {
        /* A value begins here. */
        skip_space(&c);
        if (is_at(&c, '{') || is_at(&c, '[')) {
            if (depth == MAX_DEPTH)
                return "it is nested too deeply";
            char closer = closers[depth++] = *c.at++ == '{' ? '}' : ']';
            skip_space(&c);
            if (!is_at(&c, closer)) {
                if (closer == '}' && !eat_name(&c))
                    return wrong;
                continue;
            }
        } else if (!eat_scalar(&c)) {
            return wrong;
        }
        /* A value has ended, or is about to. */
        while (depth > 0) {
            skip_space(&c);
            if (!eat(&c, closers[depth - 1]))
                break;
            depth--;
        }
        if (depth == 0)
            break;
        if (!eat(&c, ',') || (closers[depth - 1] == '}' && !eat_name(&c)))
            return wrong;
    }
    value->n_bytes = (size_t)(c.at - value->text);
    skip_space(&c);
    return c.at == c.end ? NULL : wrong;
}

/* Goes past a value that is known to be good. */
static sp_json eat_value(cursor *c)
{
    skip_space(c);
    const char *begin = c->at;
    size_t depth = 0;
    do {
        if (is_at(c, '"')) {
            if (!eat_string(c))
                break;
        } else if (c->at < c->end && strchr("{[]}:, \t\r\n", *c->at)) {
            depth += is_at(c, '{') || is_at(c, '[');
            depth -= is_at(c, '}') || is_at(c, ']');
            c->at++;
        } else if (!eat_scalar(c)) {
            break;
        }
    } while (depth > 0 && c->at < c->end);
    return (sp_json){begin, (size_t)(c->at - begin)};
}

char sp_json_kind(sp_json value)
{
    char first = value.text && value.n_bytes > 0 ? *value.text : '\0';
    return first == '-' || (first >= '0' && first <= '9') ? '0' : first;
}

void sp_json_members(sp_json object, size_t n, const char *const names[], sp_json values[])
{
    for (size_t i = 0; i < n; i++)
        values[i] = (sp_json){NULL, 0};
    if (sp_json_kind(object) != '{')
        return;
    cursor c = {object.text + 1, object.text + object.n_bytes};
    do {
        skip_space(&c);
        const char *begin = c.at;
        if (!eat_string(&c))
            return;
        sp_json name = {begin, (size_t)(c.at - begin)};
        skip_space(&c);
        eat(&c, ':');
        sp_json value = eat_value(&c);
        /* Of a name that comes twice the last one counts, as in most readers. */
        for (size_t i = 0; i < n; i++)
            if (sp_json_is_string(name, names[i]))
                values[i] = value;
        skip_space(&c);
    } while (eat(&c, ','));
}

sp_json sp_json_member(sp_json object, const char *name)
{
    sp_json value;
    sp_json_members(object, 1, &name, &value);
    return value;
}

bool sp_json_next(sp_json array, size_t *position, sp_json *item)
{
    if (sp_json_kind(array) != '[' || *position >= array.n_bytes)
        return false;
    cursor c = {array.text + (*position > 0 ? *position : 1), array.text + array.n_bytes};
    skip_space(&c);
    eat(&c, ',');
    skip_space(&c);
    if (c.at == c.end || is_at(&c, ']'))
        return false;
    *item = eat_value(&c);
    *position = (size_t)(c.at - array.text);
    return item->n_bytes > 0;
}

bool sp_json_to_integer(sp_json value, uint64_t low, uint64_t high, uint64_t *number)
{
    uint64_t sum = 0;
    /* 18 digits cannot overflow, and 2^53 has 16. */
    if (sp_json_kind(value) != '0' || value.n_bytes > 18)
        return false;
    for (size_t i = 0; i < value.n_bytes; i++) {
        if (value.text[i] < '0' || value.text[i] > '9')
            return false;
        sum = sum * 10 + (uint64_t)(value.text[i] - '0');
    }
    if (sum < low || sum > high)
        return false;
    *number = sum;
    return true;
}

static size_t encode_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00u >> n & 0xf0) | code);
    return n;
}

/* The character of an escape, after its backslash; -1 for half a surrogate pair. */
static int eat_escape(cursor *c)
{
    static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    if (!eat(c, 'u')) {
        const char *letter = strchr(letters, *c->at);
        char plain = *c->at++;
        return letter ? meanings[letter - letters] : plain;
    }
    int high = eat_hex(c);
    if (high < 0xd800 || high > 0xdfff)
        return high;
    if (high > 0xdbff || !eat(c, '\\') || !eat(c, 'u'))
        return -1;
    int low = eat_hex(c);
    return low < 0xdc00 || low > 0xdfff ? -1 : 0x10000 + (high - 0xd800) * 0x400 + (low - 0xdc00);
}

char *sp_json_to_string(sp_json value, size_t *n_bytes)
{
    if (sp_json_kind(value) != '"' || value.n_bytes < 2)
        return NULL;
    cursor c = {value.text + 1, value.text + value.n_bytes - 1};
    /* No escape is shorter than what it stands for. */
    char *string = sp_alloc(value.n_bytes);
    size_t n = 0;
    while (c.at < c.end) {
        if (!eat(&c, '\\')) {
            string[n++] = *c.at++;
            continue;
        }
        int code = c.at < c.end ? eat_escape(&c) : -1;
        if (code < 0 || (code == 0 && !n_bytes)) {
            free(string);
            return NULL;
        }
        n += encode_utf8(string + n, (unsigned)code);
    }
    string[n] = '\0';
    if (n_bytes)
        *n_bytes = n;
    return string;
}

bool sp_json_is_string(sp_json value, const char *text)
{
    if (sp_json_kind(value) != '"')
        return false;
    if (!memchr(value.text, '\\', value.n_bytes))
        return value.n_bytes == strlen(text) + 2 && memcmp(value.text + 1, text, strlen(text)) == 0;
    char *string = sp_json_to_string(value, NULL);
    bool is = string && strcmp(string, text) == 0;
    free(string);
    return is;
}

void sp_put_string(sp_buffer *buffer, const char *text)
{
    cursor c = {text, text + strlen(text)};
    sp_put(buffer, "\"", 1);
    while (c.at < c.end) {
        const char *begin = c.at;
        if ((unsigned char)*c.at < 0x20 || *c.at == '"' || *c.at == '\\') {
            sp_printf(buffer, "\\u%04x", (unsigned)*c.at++);
        } else if (eat_utf8(&c)) {
            sp_put(buffer, begin, (size_t)(c.at - begin));
        } else {
            sp_put(buffer, "?", 1);
            c.at++;
        }
    }
    sp_put(buffer, "\"", 1);
}
