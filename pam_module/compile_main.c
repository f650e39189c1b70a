/*
 * idmap-compile: the command line. Exit status: 0 done, 1 bad input, 2 usage, 3 input or output
 * failed. Only one line is ever said on standard error.
 */
#include "compile.h"

#include <getopt.h>
#include <sys/random.h>

enum { IN, OUT, SEED, GIVEN_COUNT, HELP, VERSION };

static const struct option options[] = {
    {"in", required_argument, NULL, IN},     {"out", required_argument, NULL, OUT},
    {"seed", required_argument, NULL, SEED}, {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, VERSION}, {NULL, 0, NULL, 0},
};

static const char help[] =
    "usage: idmap-compile posix --in FILE|- --out FILE [--seed HEX]\n"
    "       idmap-compile settle --out FILE\n"
    "       idmap-compile --help | --version\n"
    "\n"
    "Compiles text records (idmap-posix 2) into posix.db, checks every invariant itself, and\n"
    "installs the result in one step: the old file or the new one, never neither. `settle` ends a\n"
    "replacement that was interrupted, by marking the replaced file.\n"
    "\n"
    "  --in FILE     the records; - is standard input\n"
    "  --out FILE    the file to replace; FILE.tmp, .previous and .lock beside it are used\n"
    "  --seed HEX    32 hexadecimal digits instead of a random hash seed: for test vectors only\n"
    "\n"
    "Exit status: 0 done, 1 bad input, 2 usage, 3 input or output failed.\n";

_Noreturn static void
usage(const char *reason)
{
    fprintf(stderr, "idmap-compile: %s [usage]\n", reason);
    compile_end(STATUS_USAGE);
}

_Noreturn static void
answer(const char *text)
{
    compile_end(fputs(text, stdout) < 0 || fflush(stdout) != 0 ? STATUS_FAILED : STATUS_DONE);
}

/* Reads 32 hexadecimal digits. */
static void
parse_seed(const char *text, unsigned char seed[16])
{
    if (strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32)
        usage("--seed takes 32 lower-case hexadecimal digits");
    for (size_t i = 0; i < 16; i++)
        sscanf(text + 2 * i, "%2hhx", &seed[i]);
}

int
main(int argc, char **argv)
{
    static struct build b;
    const char *given[GIVEN_COUNT] = {NULL};
    const char *command;
    bool is_settle;
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == HELP)
            answer(help);
        if (option == VERSION)
            answer("idmap-compile " IDMAP_VERSION "\n");
        if (option >= GIVEN_COUNT)
            usage("unknown or incomplete option; see --help");
        given[option] = optarg;
    }
    command = argc - optind == 1 ? argv[optind] : "";
    is_settle = strcmp(command, "settle") == 0;
    if (!is_settle && strcmp(command, "posix") != 0)
        usage("one of posix, settle is needed; see --help");
    if (given[OUT] == NULL)
        usage("--out is needed");
    if (is_settle && (given[IN] != NULL || given[SEED] != NULL))
        usage("settle takes --out only");
    if (is_settle) {
        output_settle(&b.out, given[OUT]);
        return STATUS_DONE;
    }
    if (given[IN] == NULL)
        usage("--in is needed");
    if (given[SEED] != NULL)
        parse_seed(given[SEED], b.seed);
    else if (getrandom(b.seed, sizeof(b.seed), 0) != (ssize_t)sizeof(b.seed))
        fail("no_randomness", given[OUT]);
    input_open(&b.in, given[IN]);
    output_open(&b.out, given[OUT]);
    compile_posix(&b);
    output_install(&b.out, b.header);
    return STATUS_DONE;
}
