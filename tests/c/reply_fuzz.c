/*
 * libFuzzer target: the input is a verifier's reply. What is accepted keeps verify_client.h.
 */
#include <stdlib.h>
#include <string.h>

#include "refusals.h"
#include "verify_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct idmap_verify_reply zero;
    struct idmap_verify_reply reply;
    uint8_t bytes[IDMAP_REPLY_SIZE] = {0};

    memset(&reply, 0xff, sizeof(reply));
    memcpy(bytes, data, size < sizeof(bytes) ? size : sizeof(bytes));
    if (!idmap_verify_parse_reply(bytes, &reply)) {
        if (memcmp(&reply, &zero, sizeof(reply)) != 0)
            abort();
        return 0;
    }
    if (memchr(reply.name, 0, sizeof(reply.name)) == NULL ||
        memchr(reply.reason, 0, sizeof(reply.reason)) == NULL ||
        strspn(reply.ref, "0123456789abcdef") != IDMAP_REF_SIZE - 1 ||
        strspn(reply.reason, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(reply.reason) ||
        (reply.accepted && (reply.name[0] == '\0' || number_is_refused(reply.uid_number))))
        abort();
    return 0;
}
