/*
 * What people read when a login is refused: sentence and next step. The last entry answers for
 * every other code.
 *
 * made by `make docs`; edit the code instead: tools/docs.py, from idmap/domain/reasons.py.
 */
#ifndef IDMAP_REASONS_H
#define IDMAP_REASONS_H

/* clang-format off */
static const struct {
    const char *reason, *text;
} reason_texts[] = {
    {"account_expired", "The account has expired. Ask the site's support."},
    {"account_suspended", "The account is suspended. Ask your project's manager to restore your membership."},
    {"account_unknown", "There is no such account here. First-time users call POST /v1/me/account with a token for the API."},
    {"agent_unavailable", "The verifier on this node does not answer. An administrator restarts idmap-verify; logins with keys still work."},
    {"audience_refused", "The token was made for another door. Request a token with the audience of this door; 'idmap issuers show' lists them."},
    {"banned", "Access is refused on security grounds. Contact the security team."},
    {"clock_skew", "This node's clock is wrong. An administrator repairs time synchronisation."},
    {"configuration_invalid", "The configuration cannot be used. The detail names the file and the setting."},
    {"grace_ended", "The membership behind this account ended and its grace has passed. Ask your project's manager to restore your membership."},
    {"identity_mismatch", "The token belongs to another person than the username asked for. Log in under your own username; GET /v1/me tells it."},
    {"identity_unknown", "Nobody here is linked to this identity. First-time users call POST /v1/me/account with a token for the API."},
    {"issuer_unavailable", "The identity provider could not be asked. Try again when it answers."},
    {"local_account", "This node has an account of its own under that name or number. An administrator renames the node's own account; 'idmap-agent status' lists clashes."},
    {"node_class_refused", "The account may not be used on nodes of this kind. Log in elsewhere; 'idmap accounts show' lists the node classes, 'idmap explain' the rule."},
    {"node_files_unreadable", "This node's account files cannot be read. An administrator runs 'idmap-agent verify' and 'idmap-agent sync --once' on the node."},
    {"service_unavailable", "The idmap service does not answer. Try again later."},
    {"snapshot_expired", "This node's account data is too old to admit anybody. An administrator looks at 'idmap-agent status'; the service may be out of reach."},
    {"token_demanded", "This node wants an access token; a key or certificate does not do here. Log in with an access token; 'idmap rules show' lists what the door demands of it."},
    {"token_expired", "The token has expired. Request a fresh token."},
    {"not_accepted", "The credential was not accepted. Give the reference to the site's support; the log holds the reason."},
};

#endif
