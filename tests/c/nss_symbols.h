/*
 * The NSS entry points of a module, found as glibc finds them: by name. `files` stands for glibc's
 * own, which since 2.34 live inside libc.
 */
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct nss_module {
    enum nss_status (*getpwnam_r)(const char *, struct passwd *, char *, size_t, int *);
    enum nss_status (*getpwuid_r)(uid_t, struct passwd *, char *, size_t, int *);
    enum nss_status (*setpwent)(int);
    enum nss_status (*getpwent_r)(struct passwd *, char *, size_t, int *);
    enum nss_status (*endpwent)(void);
    enum nss_status (*getgrnam_r)(const char *, struct group *, char *, size_t, int *);
    enum nss_status (*getgrgid_r)(gid_t, struct group *, char *, size_t, int *);
    enum nss_status (*setgrent)(int);
    enum nss_status (*getgrent_r)(struct group *, char *, size_t, int *);
    enum nss_status (*endgrent)(void);
    enum nss_status (*initgroups_dyn)(const char *, gid_t, long *, long *, gid_t **, long, int *);
};

static void
nss_find(void *handle, const char *service, const char *function, void *pointer)
{
    char name[128];
    void *found;

    snprintf(name, sizeof(name), "_nss_%s_%s", service, function);
    found = dlsym(handle, name);
    if (found == NULL) {
        fprintf(stderr, "%s is missing\n", name);
        exit(2);
    }
    memcpy(pointer, &found, sizeof(found));
}

static void
nss_load(struct nss_module *module, const char *path)
{
    int is_files = strcmp(path, "files") == 0;
    void *handle = is_files ? RTLD_DEFAULT : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *service = is_files ? "files" : "idmap";

    if (!is_files && handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
    nss_find(handle, service, "getpwnam_r", &module->getpwnam_r);
    nss_find(handle, service, "getpwuid_r", &module->getpwuid_r);
    nss_find(handle, service, "setpwent", &module->setpwent);
    nss_find(handle, service, "getpwent_r", &module->getpwent_r);
    nss_find(handle, service, "endpwent", &module->endpwent);
    nss_find(handle, service, "getgrnam_r", &module->getgrnam_r);
    nss_find(handle, service, "getgrgid_r", &module->getgrgid_r);
    nss_find(handle, service, "setgrent", &module->setgrent);
    nss_find(handle, service, "getgrent_r", &module->getgrent_r);
    nss_find(handle, service, "endgrent", &module->endgrent);
    nss_find(handle, service, "initgroups_dyn", &module->initgroups_dyn);
}
