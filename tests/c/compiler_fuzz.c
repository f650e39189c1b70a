/*
 * libFuzzer target: the input is the compiler's. It comes from memory, and what is written goes to
 * a memory file. What is accepted must be a file that the reader takes, and everything in it must
 * keep the reader's promises. The compiler ends the program when it refuses; here that is a jump
 * back.
 */
#define _GNU_SOURCE
#define compile_end end_of_program
#include "compile_output.c"
#undef compile_end

#include <setjmp.h>
#include <sys/mman.h>

#include "exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
_Noreturn void compile_end(enum status status);

static jmp_buf refused;
static struct build b;

void
compile_end(enum status status)
{
    (void)status;
    longjmp(refused, 1);
}

/* Makes `b` ready for another run, whatever state the last one left it in. */
static void
restart(const uint8_t *data, size_t size)
{
    static FILE *file;

    if (file == NULL)
        file = fdopen(memfd_create("out", MFD_CLOEXEC), "w");
    for (int kind = 0; kind < POSIX_KINDS; kind++) {
        free(b.all[kind].entry);
        free(b.all[kind].names);
        for (int key = 0; key < KEY_COUNT; key++)
            free(b.all[kind].slots[key]);
    }
    free(b.groups);
    if (b.in.file != NULL)
        fclose(b.in.file);
    /* The gids are large, and written before they are read. */
    memset(&b, 0, offsetof(struct build, gids));
    rewind(file);
    b.out = (struct output){.file = file, .name = "out", .temporary = "out"};
    b.in = (struct input){.path = "in", .file = fmemopen((void *)(uintptr_t)data, size, "r")};
    promise(b.in.file != NULL && ftruncate(fileno(file), 0) == 0, "the files are ready");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *bytes;
    struct posix_db db;

    if (size == 0)
        return 0;
    restart(data, size);
    if (setjmp(refused) != 0)
        return 0;
    compile_posix(&b);
    bytes = malloc(b.out.offset);
    promise(bytes != NULL && fflush(b.out.file) == 0 &&
                pread(fileno(b.out.file), bytes, b.out.offset, 0) == (ssize_t)b.out.offset,
            "it is read");
    memcpy(bytes, b.header, sizeof(b.header));
    promise(attach(&db, bytes, b.out.offset), "the reader takes what was accepted");
    exercise(bytes, b.out.offset);
    free(bytes);
    return 0;
}
