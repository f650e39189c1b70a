/*
 * idmap-compile: the command line. Exit status: 0 done, 1 bad input, 2 usage, 3 input or output
 * failed. Only one line is ever said on standard error.
 */
#include "compile.h"

#include <getopt.h>
#include <sys/random.h>

#ifndef IDMAP_VERSION
#define IDMAP_VERSION "0.1.0"
#endif

static const char help[] =
    "usage: idmap-compile posix --in FILE|- --out FILE [--seed HEX]\n"
    "       idmap-compile bans --in FILE|- --out FILE\n"
    "       idmap-compile settle --out FILE\n"
    "       idmap-compile --help | --version\n"
    "\n"
    "Compiles text records (idmap-posix 2, idmap-bans 1) into posix.db or bans.db, checks every\n"
    "invariant itself, and installs the result in one step: the old file or the new one, never\n"
    "neither. `settle` ends a replacement that was interrupted, by marking the replaced file.\n"
    "\n"
    "  --in FILE     the records; - is standard input\n"
    "  --out FILE    the file to replace; FILE.tmp and FILE.previous beside it are used meanwhile\n"
    "  --seed HEX    32 hexadecimal digits instead of a random hash seed: for test vectors only\n"
    "\n"
    "Exit status: 0 done, 1 bad input, 2 usage, 3 input or output failed.\n";

_Noreturn static void
usage(const char *reason)
{
    fprintf(stderr, "idmap-compile: %s [usage]\n", reason);
    compile_end(STATUS_USAGE);
}

/* Reads 32 hexadecimal digits. */
static void
parse_seed(const char *text, unsigned char seed[16])
{
    static const char digits[] = "0123456789abcdef";

    if (strlen(text) != 32 || strspn(text, digits) != 32)
        usage("--seed takes 32 lower-case hexadecimal digits");
    for (size_t i = 0; i < 32; i++)
        seed[i / 2] = (unsigned char)(seed[i / 2] << 4 | (strchr(digits, text[i]) - digits));
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"in", required_argument, NULL, 'i'},   {"out", required_argument, NULL, 'o'},
        {"seed", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},    {NULL, 0, NULL, 0},
    };
    static struct build b;
    const char *from = NULL;
    const char *to = NULL;
    bool seeded = false;
    bool is_posix;
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
            parse_seed(optarg, b.seed);
            seeded = true;
            break;
        case 'h':
            return fputs(help, stdout) < 0 || fflush(stdout) != 0 ? STATUS_FAILED : STATUS_DONE;
        case 'V':
            return puts("idmap-compile " IDMAP_VERSION) < 0 ? STATUS_FAILED : STATUS_DONE;
        default:
            usage("unknown or incomplete option; see --help");
        }
    }
    if (argc - optind != 1)
        usage("one of posix, bans, settle is needed; see --help");
    if (to == NULL)
        usage("--out is needed");
    if (strcmp(argv[optind], "settle") == 0) {
        if (from != NULL || seeded)
            usage("settle takes --out only");
        output_settle(&b.out, to);
        return STATUS_DONE;
    }
    is_posix = strcmp(argv[optind], "posix") == 0;
    if (!is_posix && strcmp(argv[optind], "bans") != 0)
        usage("one of posix, bans, settle is needed; see --help");
    if (from == NULL)
        usage("--in is needed");
    input_open(&b.in, from);
    output_open(&b.out, to);
    if (!seeded && getrandom(b.seed, sizeof(b.seed), 0) != (ssize_t)sizeof(b.seed))
        fail("no_randomness", to);
    if (is_posix)
        compile_posix(&b);
    else
        compile_bans(&b);
    output_install(&b.out, is_posix);
    return STATUS_DONE;
}
