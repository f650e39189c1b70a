/*
 * idmap-compile: the command line. Exit status: 0 done, 1 bad input, 2 usage, 3 input or output
 * failed. Only one line is ever said on standard error.
 */
#include "compile.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#ifndef IDMAP_VERSION
#define IDMAP_VERSION "0.1.0"
#endif

static const char help[] =
    "usage: idmap-compile posix --in FILE|- --out FILE [--seed HEX]\n"
    "       idmap-compile bans --in FILE|- --out FILE\n"
    "       idmap-compile settle --out FILE\n"
    "       idmap-compile --help | --version\n"
    "\n"
    "Compiles text records (idmap-posix 1, idmap-bans 1) into posix.db or bans.db, checks every\n"
    "invariant itself, and installs the result in one step: the old file or the new one, never\n"
    "neither. `settle` ends a replacement that was interrupted, by marking the replaced file.\n"
    "\n"
    "  --in FILE     the records; - is standard input\n"
    "  --out FILE    the file to replace; FILE.tmp and FILE.previous beside it are used meanwhile\n"
    "  --seed HEX    32 hexadecimal digits instead of a random hash seed: for test vectors only\n"
    "\n"
    "Exit status: 0 done, 1 bad input, 2 usage, 3 input or output failed.\n";

static enum result
usage(const char *reason)
{
    fprintf(stderr, "idmap-compile: %s [usage]\n", reason);
    return RESULT_USAGE;
}

/* Reads 32 hexadecimal digits. */
static bool
parse_seed(const char *text, unsigned char seed[16])
{
    static const char digits[] = "0123456789abcdef";

    if (strlen(text) != 32)
        return false;
    for (size_t i = 0; i < 32; i++) {
        const char *digit = strchr(digits, text[i]);

        if (digit == NULL)
            return false;
        seed[i / 2] = (unsigned char)(seed[i / 2] << 4 | (digit - digits));
    }
    return true;
}

static enum result
compile(const char *kind, const char *from, const char *to, const unsigned char *seed)
{
    bool is_posix = strcmp(kind, "posix") == 0;
    struct input in;
    struct output out;
    enum result result;

    memset(&out, 0, sizeof(out));
    out.fd = out.directory = -1;
    result = input_open(&in, from);
    if (result == RESULT_OK)
        result = output_open(&out, to);
    if (result == RESULT_OK)
        result = is_posix ? compile_posix(&in, &out, seed) : compile_bans(&in, &out);
    if (result == RESULT_OK)
        result = output_install(&out, is_posix);
    output_close(&out);
    input_close(&in);
    return result;
}

/* The whole program; gives the exit status. */
static enum result
run(int argc, char **argv)
{
    static const struct option options[] = {
        {"in", required_argument, NULL, 'i'},   {"out", required_argument, NULL, 'o'},
        {"seed", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},    {NULL, 0, NULL, 0},
    };
    unsigned char seed[16] = {0};
    const char *from = NULL;
    const char *to = NULL;
    bool seeded = false;
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'i':
            from = optarg;
            break;
        case 'o':
            to = optarg;
            break;
        case 's':
            seeded = parse_seed(optarg, seed);
            if (!seeded)
                return usage("--seed takes 32 lower-case hexadecimal digits");
            break;
        case 'h':
            fputs(help, stdout);
            return RESULT_OK;
        case 'V':
            puts("idmap-compile " IDMAP_VERSION);
            return RESULT_OK;
        default:
            return usage("unknown or incomplete option; see --help");
        }
    }
    if (argc - optind != 1)
        return usage("one of posix, bans, settle is needed; see --help");
    if (to == NULL)
        return usage("--out is needed");
    if (strcmp(argv[optind], "settle") == 0)
        return from == NULL && !seeded ? output_settle(to) : usage("settle takes --out only");
    if (strcmp(argv[optind], "posix") != 0 && strcmp(argv[optind], "bans") != 0)
        return usage("one of posix, bans, settle is needed; see --help");
    if (from == NULL)
        return usage("--in is needed");
    return compile(argv[optind], from, to, seeded ? seed : NULL);
}

int
main(int argc, char **argv)
{
    return (int)run(argc, argv);
}
