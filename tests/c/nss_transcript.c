/*
 * nss_transcript MODULE|files [CHROOT]: asks a module the questions on standard input and prints
 * what it answers, so that two modules can be compared line by line.
 *
 *   pwnam NAME · pwuid N · grnam NAME · grgid N · pwent · grent · initgroups NAME GID LIMIT
 *
 * Each record is asked for with every buffer size from 0 up and at every misalignment, in memory
 * that ends where the buffer does; the size contract is checked here (TRYAGAIN with ERANGE below
 * one size, the same answer from there on), and the answer printed once.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <unistd.h>

#include "nss_symbols.h"

#define LARGEST (1 << 16)

static struct nss_module module;
static const char *question;
static int is_files; /* glibc's own leave errno alone at the end of an enumeration */

static void
fail(const char *why, size_t size)
{
    printf("CONTRACT %s at size %zu: %s\n", why, size, question);
    exit(1);
}

/* Prints what a call gave into `text`; pointers must lie inside the buffer. */
static void
print_passwd(char *text, size_t room, const struct passwd *pw, const char *buffer, size_t size)
{
    const char *strings[] = {pw->pw_name, pw->pw_passwd, pw->pw_gecos, pw->pw_dir, pw->pw_shell};

    for (size_t i = 0; i < 5; i++)
        if (strings[i] < buffer || strings[i] >= buffer + size)
            fail("a pointer outside the buffer", size);
    snprintf(text, room, "%s:%s:%u:%u:%s:%s:%s", pw->pw_name, pw->pw_passwd, pw->pw_uid, pw->pw_gid,
             pw->pw_gecos, pw->pw_dir, pw->pw_shell);
}

static void
print_group(char *text, size_t room, const struct group *gr, const char *buffer, size_t size)
{
    size_t used = (size_t)snprintf(text, room, "%s:%s:%u:", gr->gr_name, gr->gr_passwd, gr->gr_gid);

    if ((uintptr_t)gr->gr_mem % sizeof(char *) != 0)
        fail("a member table out of line", size);
    if ((const char *)gr->gr_mem < buffer || (const char *)gr->gr_mem >= buffer + size)
        fail("a pointer outside the buffer", size);
    for (char **member = gr->gr_mem; *member != NULL; member++) {
        if (*member < buffer || *member >= buffer + size)
            fail("a pointer outside the buffer", size);
        used += (size_t)snprintf(text + used, room - used, "%s%s", member == gr->gr_mem ? "" : ",",
                                 *member);
    }
}

enum kind { PWNAM, PWUID, PWENT, GRNAM, GRGID, GRENT };

/* One call with one buffer. */
static enum nss_status
call(enum kind kind, const char *name, unsigned number, char *buffer, size_t size, int *error,
     char *text, size_t room)
{
    struct passwd pw;
    struct group gr;
    enum nss_status status = NSS_STATUS_UNAVAIL;

    *error = 0;
    switch (kind) {
    case PWNAM:
        status = module.getpwnam_r(name, &pw, buffer, size, error);
        break;
    case PWUID:
        status = module.getpwuid_r(number, &pw, buffer, size, error);
        break;
    case PWENT:
        status = module.getpwent_r(&pw, buffer, size, error);
        break;
    case GRNAM:
        status = module.getgrnam_r(name, &gr, buffer, size, error);
        break;
    case GRGID:
        status = module.getgrgid_r(number, &gr, buffer, size, error);
        break;
    case GRENT:
        status = module.getgrent_r(&gr, buffer, size, error);
        break;
    }
    if (status != NSS_STATUS_SUCCESS)
        snprintf(text, room, "status %d errno %d", status, *error);
    else if (kind <= PWENT)
        print_passwd(text, room, &pw, buffer, size);
    else
        print_group(text, room, &gr, buffer, size);
    return status;
}

/* The answer, after every smaller buffer was refused properly. For an enumeration the first
 * success moves on, so it is asked only up to there. */
static enum nss_status
ask(enum kind kind, const char *name, unsigned number)
{
    static char text[LARGEST * 2];
    static char again[LARGEST * 2];
    enum nss_status status = NSS_STATUS_TRYAGAIN;
    int error = 0;
    size_t size;

    for (size = 0; size < LARGEST; size++) {
        size_t shift = size % 8;
        char *memory = malloc(shift + size + 1);

        /* The buffer ends one byte before the allocation's end, which is checked instead. */
        memory[shift + size] = 0x5a;
        status = call(kind, name, number, memory + shift, size, &error, text, sizeof(text));
        if (memory[shift + size] != 0x5a)
            fail("written behind the buffer", size);
        free(memory);
        if (status != NSS_STATUS_TRYAGAIN)
            break;
        if (error != ERANGE)
            fail("TRYAGAIN without ERANGE", size);
    }
    if (status == NSS_STATUS_SUCCESS && kind != PWENT && kind != GRENT)
        for (size_t more = size + 8; more < size + 24; more++) {
            char *memory = malloc(more);

            if (call(kind, name, number, memory, more, &error, again, sizeof(again)) != status ||
                strcmp(text, again) != 0)
                fail("a larger buffer answers otherwise", more);
            free(memory);
        }
    if (status != NSS_STATUS_SUCCESS && error == 0 && !is_files)
        fail("a failure without errno", size);
    puts(text);
    return status;
}

static void
ask_initgroups(const char *name, unsigned gid, long limit)
{
    long start = 1;
    long size = 1;
    gid_t *groups = malloc(sizeof(gid_t));
    int error = 0;
    enum nss_status status;

    groups[0] = gid;
    status = module.initgroups_dyn(name, gid, &start, &size, &groups, limit, &error);
    printf("status %d:", status);
    for (long i = 0; i < start; i++)
        printf(" %u", groups[i]);
    putchar('\n');
    free(groups);
}

int
main(int argc, char **argv)
{
    static char line[4096];
    static char copy[4096];
    char name[1024];
    unsigned number;
    long limit;

    if (argc < 2)
        return 2;
    nss_load(&module, argv[1]);
    is_files = strcmp(argv[1], "files") == 0;
    if (argc > 2 && (chroot(argv[2]) != 0 || chdir("/") != 0))
        return 2;
    question = copy;
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        strcpy(copy, line);
        name[0] = '\0';
        if (strncmp(line, "pwnam ", 6) == 0) {
            ask(PWNAM, line + 6, 0);
        } else if (strncmp(line, "grnam ", 6) == 0) {
            ask(GRNAM, line + 6, 0);
        } else if (sscanf(line, "pwuid %u", &number) == 1) {
            ask(PWUID, NULL, number);
        } else if (sscanf(line, "grgid %u", &number) == 1) {
            ask(GRGID, NULL, number);
        } else if (sscanf(line, "initgroups %1023s %u %ld", name, &number, &limit) == 3) {
            ask_initgroups(name, number, limit);
        } else if (strcmp(line, "pwent") == 0) {
            module.setpwent(0);
            while (ask(PWENT, NULL, 0) == NSS_STATUS_SUCCESS)
                ;
            module.endpwent();
        } else if (strcmp(line, "grent") == 0) {
            module.setgrent(0);
            while (ask(GRENT, NULL, 0) == NSS_STATUS_SUCCESS)
                ;
            module.endgrent();
        } else {
            return 2;
        }
    }
    return 0;
}
