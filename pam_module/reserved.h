/*
 * Names that no federated user or group may carry, because they are root, can be turned into root,
 * or mean "nobody", on some distribution (law 10).
 *
 * made by `make docs`; edit the code instead: tools/docs.py, from idmap/domain/names.py.
 * Spelled as compared: lower case, with `-` `.` `+` as `_`. Sorted by bytes. Bit n of
 * `reserved_lengths[first & 31]` is set when a name with that first character has n characters,
 * so that most names are cleared without a search.
 */
#ifndef IDMAP_RESERVED_H
#define IDMAP_RESERVED_H

#include <stdint.h>

/* clang-format off */
static const char *const reserved_names[] = {
    "adm",
    "admin",
    "audio",
    "backup",
    "bin",
    "daemon",
    "dialout",
    "disk",
    "docker",
    "incus",
    "incus_admin",
    "input",
    "kmem",
    "kvm",
    "libvirt",
    "lxc",
    "lxd",
    "mem",
    "netdev",
    "nobody",
    "nogroup",
    "operator",
    "plugdev",
    "podman",
    "render",
    "root",
    "shadow",
    "ssl_cert",
    "staff",
    "sudo",
    "sudoers",
    "sys",
    "systemd_journal",
    "toor",
    "tty",
    "utmp",
    "vboxusers",
    "video",
    "wheel",
    "wireshark",
};

static const uint32_t reserved_lengths[32] = {
    0x00000, 0x00028, 0x00048, 0x00000, 0x000d0, 0x00000, 0x00000, 0x00000,
    0x00000, 0x00820, 0x00000, 0x00018, 0x00088, 0x00008, 0x000c0, 0x00100,
    0x000c0, 0x00000, 0x00050, 0x081f8, 0x00018, 0x00010, 0x00220, 0x00220,
    0x00000, 0x00000, 0x00000, 0x00000, 0x00000, 0x00000, 0x00000, 0x00000,
};

/* What a byte compares as; 0 for a byte that no name may contain. */
static const char fold[256] = {
    ['+'] = '_', ['-'] = '_', ['.'] = '_', ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4',
    ['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9', ['A'] = 'a', ['B'] = 'b', ['C'] = 'c',
    ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k',
    ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's',
    ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z', ['_'] = '_',
    ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h',
    ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p',
    ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x',
    ['y'] = 'y', ['z'] = 'z',
};

#endif
