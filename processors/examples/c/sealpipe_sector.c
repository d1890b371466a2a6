/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* The lock on the sector's directory, by which an orphan that is still stopping, and its successor,
 * stay apart. */

#define _GNU_SOURCE

#include "sealpipe_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

char *sp_sector_of(const char *stage, sp_json params, bool *good, sp_error *error)
{
    static const char *const none[] = {"echo", "c2", "verify"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (strcmp(stage, none[i]) == 0)
            return NULL;
    const char *member = strcmp(stage, "add_pieces") == 0 ? "unsealedPath" : "cacheDir";
    char *path = sp_path(params, member, error);
    *good = path != NULL;
    /* Its parent; `/` and `/.` at the end are not its last part. */
    size_t n = path ? strlen(path) : 0;
    bool is_cut = false;
    while (n > 1 && !is_cut) {
        if (path[n - 1] == '/') {
            n--;
        } else if (path[n - 1] == '.' && path[n - 2] == '/') {
            n -= 2;
        } else {
            while (n > 0 && path[n - 1] != '/')
                n--;
            is_cut = true;
        }
    }
    if (path)
        path[n > 1 ? n : 1] = '\0';
    return path;
}

int sp_sector_lock(const char *sector, sp_error *error)
{
    int fd = open(sector, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    bool is_taken = fd >= 0 && errno == EWOULDBLOCK;
    int code = is_taken                            ? SP_OUTPUT_CONFLICT
               : errno == EMFILE || errno == ENFILE ? SP_RESOURCE_EXHAUSTED
                                                    : SP_INPUT_UNAVAILABLE;
    const char *why = is_taken ? "another process works on it" : strerror(errno);
    sp_fail(error, code, "%s: %s", sector, why);
    if (fd >= 0)
        close(fd);
    return -1;
}
