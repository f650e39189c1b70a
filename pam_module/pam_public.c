/* The entry points of pam_idmap, alone: libpam sees nothing else (pam.map). */
#include "pam_internal.h"

#define PUBLIC __attribute__((visibility("default"))) /* all else is hidden by -fvisibility */

/* The contract is PAM's (pam_sm_*(3)); what each phase decides is in pam_internal.h. */
PUBLIC int
pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    struct idmap_login login;
    int code = idmap_begin(&login, pamh, flags, argc, argv);

    return code == PAM_SUCCESS ? idmap_authenticate(&login) : code;
}

PUBLIC int
pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    struct idmap_login login;
    int code = idmap_begin(&login, pamh, flags, argc, argv);

    return code == PAM_SUCCESS ? idmap_set_credentials(&login) : code;
}

PUBLIC int
pam_sm_acct_mgmt(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    struct idmap_login login;
    int code = idmap_begin(&login, pamh, flags, argc, argv);

    return code == PAM_SUCCESS ? idmap_account_phase(&login) : code;
}
