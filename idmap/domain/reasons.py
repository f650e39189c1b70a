"""Every reason idmap can give, in one table (law 11).

The code is the same in the log, the API, the CLI, the console and the PAM message, and never changes
its meaning. Each has a sentence fit for a stranger and the next step fit for the person who can help.
`docs/error-codes.md` is generated from this table; the C side knows the ones marked in
`pam_module/account.h`. HTTP status codes are not here: they live at the HTTP edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Reason(StrEnum):
    """A stable code. Add freely; never rename, never reuse."""

    OK = "ok"
    NOT_ACCEPTED = "not_accepted"

    # the token itself
    TOKEN_MALFORMED = "token_malformed"
    TOKEN_TOO_LARGE = "token_too_large"
    TOKEN_OPAQUE = "token_opaque"
    HEADER_REFUSED = "header_refused"
    TYPE_REFUSED = "type_refused"
    ALGORITHM_REFUSED = "algorithm_refused"
    ISSUER_UNKNOWN = "issuer_unknown"
    KEY_UNKNOWN = "key_unknown"
    SIGNATURE_INVALID = "signature_invalid"
    CLAIM_MISSING = "claim_missing"
    CLAIM_INVALID = "claim_invalid"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_INACTIVE = "token_inactive"
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"
    TOKEN_TOO_OLD = "token_too_old"
    AUDIENCE_REFUSED = "audience_refused"
    SENDER_CONSTRAINED = "sender_constrained"
    WLCG_VERSION_REFUSED = "wlcg_version_refused"
    ROBOT_REFUSED = "robot_refused"
    AUTHENTICATION_TOO_OLD = "authentication_too_old"
    ASSURANCE_TOO_LOW = "assurance_too_low"
    ACR_REFUSED = "acr_refused"
    CAPABILITY_MISSING = "capability_missing"
    USERINFO_MISMATCH = "userinfo_mismatch"
    ISSUER_UNAVAILABLE = "issuer_unavailable"

    # the person and the account
    IDENTITY_UNKNOWN = "identity_unknown"
    IDENTITY_MISMATCH = "identity_mismatch"
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_PENDING = "account_pending"
    ACCOUNT_AWAITS_APPROVAL = "account_awaits_approval"
    ACCOUNT_SUSPENDED = "account_suspended"
    ACCOUNT_EXPIRED = "account_expired"
    ACCOUNT_CLOSED = "account_closed"
    GRACE_ENDED = "grace_ended"
    BANNED = "banned"
    NO_RULE_MATCHES = "no_rule_matches"
    DENIED_BY_RULE = "denied_by_rule"
    NODE_CLASS_REFUSED = "node_class_refused"
    TOKEN_DEMANDED = "token_demanded"
    POOL_FULL = "pool_full"

    # several identities of one account
    IDENTITY_LINKED_ELSEWHERE = "identity_linked_elsewhere"
    IDENTITY_NOT_LINKABLE = "identity_not_linkable"
    ROBOT_AND_PERSON = "robot_and_person"
    LAST_IDENTITY = "last_identity"
    ACCOUNT_SHARED = "account_shared"
    EVIDENCE_CONTRADICTED = "evidence_contradicted"
    EVIDENCE_SETTLED = "evidence_settled"

    # the node
    LOCAL_ACCOUNT = "local_account"
    NODE_FILES_UNREADABLE = "node_files_unreadable"
    SNAPSHOT_EXPIRED = "snapshot_expired"
    CLOCK_SKEW = "clock_skew"
    AGENT_UNAVAILABLE = "agent_unavailable"
    SERVICE_UNAVAILABLE = "service_unavailable"

    # names, numbers and rules
    NAME_REFUSED = "name_refused"
    NAME_TAKEN = "name_taken"
    NUMBER_REFUSED = "number_refused"
    NUMBER_TAKEN = "number_taken"
    RANGE_EXHAUSTED = "range_exhausted"
    RANGE_OVERLAPS = "range_overlaps"
    RANGE_UNKNOWN = "range_unknown"
    RANGE_CROWDED = "range_crowded"
    NUMBERS_FOREIGN = "numbers_foreign"
    SITE_UNAVAILABLE = "site_unavailable"
    RULE_INVALID = "rule_invalid"
    RULE_EXAMPLE_FAILED = "rule_example_failed"
    RULES_TAKE_AWAY = "rules_take_away"
    CLASS_WITHOUT_PRIMARY_GROUP = "class_without_primary_group"
    ISSUER_INVALID = "issuer_invalid"
    PAIRWISE_SUBJECT = "pairwise_subject"
    TRANSITION_REFUSED = "transition_refused"
    VERSION_CONFLICT = "version_conflict"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    REQUEST_RUNNING = "request_running"
    SECRET_GIVEN_ONCE = "secret_given_once"

    # sources and plans
    SOURCE_INCOMPLETE = "source_incomplete"
    SOURCE_UNAVAILABLE = "source_unavailable"
    SOURCE_REFUSED = "source_refused"
    SOURCE_GROUP_MISSING = "source_group_missing"
    SOURCE_LACKS_FACTS = "source_lacks_facts"
    GROUP_REPLACED = "group_replaced"
    GUARD_STOPPED = "guard_stopped"
    PLAN_STALE = "plan_stale"
    ALREADY_RUNNING = "already_running"

    # snapshots on their way
    MANIFEST_INVALID = "manifest_invalid"
    MANIFEST_UNTRUSTED = "manifest_untrusted"
    SNAPSHOT_OLDER = "snapshot_older"
    DOWNLOAD_TAMPERED = "download_tampered"
    DOWNLOAD_FAILED = "download_failed"
    INSTALL_FAILED = "install_failed"
    SIGNER_REFUSED = "signer_refused"
    SIGNER_UNAVAILABLE = "signer_unavailable"

    # the service's own doors
    CREDENTIAL_MISSING = "credential_missing"
    CREDENTIAL_REFUSED = "credential_refused"
    ROLE_MISSING = "role_missing"
    OWN_CASE = "own_case"
    DOOR_REFUSED = "door_refused"
    REQUEST_INVALID = "request_invalid"
    NOT_FOUND = "not_found"
    CONFIGURATION_INVALID = "configuration_invalid"
    SCHEMA_MISMATCH = "schema_mismatch"
    RECORD_BROKEN = "record_broken"
    BACKUP_INVALID = "backup_invalid"
    BACKUP_FOREIGN = "backup_foreign"
    DATABASE_IN_USE = "database_in_use"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class ReasonText:
    """What people read. `sentence` may be shown to a stranger; `next_step` tells who can do what."""

    sentence: str
    next_step: str


_T = ReasonText
REASONS: Final = MappingProxyType(
    {
        Reason.OK: _T("Accepted.", "Nothing to do."),
        Reason.NOT_ACCEPTED: _T(
            "The credential was not accepted.",
            "Give the reference to the site's support; the log holds the reason.",
        ),
        Reason.TOKEN_MALFORMED: _T(
            "This is not a well-formed signed token.",
            "Copy the whole access token, three parts joined by dots, without blanks.",
        ),
        Reason.TOKEN_TOO_LARGE: _T(
            "The token is larger than any this site reads.",
            "Ask for fewer scopes or groups when you request the token.",
        ),
        Reason.TOKEN_OPAQUE: _T(
            "The token is opaque; its issuer would have to be asked, and none is configured for that.",
            "Request a JWT access token.",
        ),
        Reason.HEADER_REFUSED: _T(
            "The token's header carries a member that is never accepted.",
            "Request a plain access token from your identity provider.",
        ),
        Reason.TYPE_REFUSED: _T(
            "The token is of the wrong type; an access token is needed.",
            "Use the access token, not the ID token.",
        ),
        Reason.ALGORITHM_REFUSED: _T(
            "The token is signed with an algorithm this issuer may not use here.",
            "An administrator lists an issuer's algorithms with 'idmap issuers show'.",
        ),
        Reason.ISSUER_UNKNOWN: _T(
            "The token's issuer is not trusted here.",
            "An administrator adds issuers with 'idmap issuers add'; the string must match exactly.",
        ),
        Reason.KEY_UNKNOWN: _T(
            "The token is signed with a key that is not known.",
            "Try again in a minute with a fresh token; the issuer may have changed its keys.",
        ),
        Reason.SIGNATURE_INVALID: _T(
            "The token's signature does not hold.",
            "Request a fresh token and copy it whole.",
        ),
        Reason.CLAIM_MISSING: _T(
            "The token lacks a claim this site needs.",
            "'idmap explain --token-file FILE' names the claim.",
        ),
        Reason.CLAIM_INVALID: _T(
            "A claim of the token has a form that is not accepted.",
            "'idmap explain --token-file FILE' names the claim.",
        ),
        Reason.TOKEN_EXPIRED: _T("The token has expired.", "Request a fresh token."),
        Reason.TOKEN_INACTIVE: _T(
            "The token's issuer does not vouch for it: it ended, was revoked, or is not its own.",
            "Request a fresh token.",
        ),
        Reason.TOKEN_NOT_YET_VALID: _T(
            "The token is not valid yet.",
            "Check the clocks of this host and of the identity provider.",
        ),
        Reason.TOKEN_TOO_OLD: _T(
            "The token was issued too long ago for this site.", "Request a fresh token."
        ),
        Reason.AUDIENCE_REFUSED: _T(
            "The token was made for another door.",
            "Request a token with the audience of this door; 'idmap issuers show' lists them.",
        ),
        Reason.SENDER_CONSTRAINED: _T(
            "The token is bound to a key whose possession cannot be proved here.",
            "Request a bearer token without a 'cnf' claim.",
        ),
        Reason.WLCG_VERSION_REFUSED: _T(
            "The token speaks a WLCG profile version that is not understood.",
            "Request a token of WLCG profile 1.x.",
        ),
        Reason.ROBOT_REFUSED: _T(
            "The token belongs to a client, not to a person.",
            "Log in as a person, or ask an administrator for a rule for robots.",
        ),
        Reason.AUTHENTICATION_TOO_OLD: _T(
            "This door needs a recent authentication.", "Log in again and request a fresh token."
        ),
        Reason.ASSURANCE_TOO_LOW: _T(
            "Your identity provider does not say that you were identified well enough for this site.",
            "Use a vetted identity, or ask your home organisation; 'idmap issuers show' lists what is wanted.",
        ),
        Reason.ACR_REFUSED: _T(
            "This door needs a stronger authentication, such as a second factor.",
            "Log in again with a second factor and request a fresh token.",
        ),
        Reason.CAPABILITY_MISSING: _T(
            "This door needs a token with a capability that this one does not have.",
            "Request a token with the scope that the door wants, such as 'compute.create'.",
        ),
        Reason.USERINFO_MISMATCH: _T(
            "The token's issuer names one person at introspection and another at userinfo.",
            "Report it to the identity provider; nobody is let in on such an answer.",
        ),
        Reason.ISSUER_UNAVAILABLE: _T(
            "The identity provider could not be asked.", "Try again when it answers."
        ),
        Reason.IDENTITY_UNKNOWN: _T(
            "Nobody here is linked to this identity.",
            "First-time users call POST /v1/me/account with a token for the API.",
        ),
        Reason.IDENTITY_MISMATCH: _T(
            "The token belongs to another person than the username asked for.",
            "Log in under your own username; GET /v1/me tells it.",
        ),
        Reason.ACCOUNT_UNKNOWN: _T(
            "There is no such account here.",
            "First-time users call POST /v1/me/account with a token for the API.",
        ),
        Reason.ACCOUNT_PENDING: _T(
            "The account is not ready yet.", "Wait until the node class reports the revision."
        ),
        Reason.ACCOUNT_AWAITS_APPROVAL: _T(
            "The account waits for an administrator's approval.",
            "An administrator looks at it and runs 'idmap accounts approve'.",
        ),
        Reason.ACCOUNT_SUSPENDED: _T(
            "The account is suspended.", "Ask your project's manager to restore your membership."
        ),
        Reason.ACCOUNT_EXPIRED: _T("The account has expired.", "Ask the site's support."),
        Reason.ACCOUNT_CLOSED: _T("The account is closed for good.", "Ask the site's support."),
        Reason.GRACE_ENDED: _T(
            "The membership behind this account ended and its grace has passed.",
            "Ask your project's manager to restore your membership.",
        ),
        Reason.BANNED: _T("Access is refused on security grounds.", "Contact the security team."),
        Reason.NO_RULE_MATCHES: _T(
            "No rule of this site gives you an account.",
            "Ask which group gives access; 'idmap explain' shows what was considered.",
        ),
        Reason.DENIED_BY_RULE: _T(
            "A rule of this site denies you an account.",
            "'idmap explain' names the rule; an administrator can tell what lifts it.",
        ),
        Reason.NODE_CLASS_REFUSED: _T(
            "The account may not be used on nodes of this kind.",
            "Log in elsewhere; 'idmap accounts show' lists the node classes, 'idmap explain' the rule.",
        ),
        Reason.TOKEN_DEMANDED: _T(
            "This node wants an access token; a key or certificate does not do here.",
            "Log in with an access token; 'idmap rules show' lists what the door demands of it.",
        ),
        Reason.POOL_FULL: _T(
            "The pool of accounts is used up.",
            "An administrator raises the size of the class, or closes accounts that are not needed.",
        ),
        Reason.IDENTITY_LINKED_ELSEWHERE: _T(
            "This identity has another account already.",
            "Two accounts are merged by an administrator only; 'idmap identities show' tells whose it is.",
        ),
        Reason.IDENTITY_NOT_LINKABLE: _T(
            "No door of this site takes this identity.",
            "Only an OpenID Connect identity of a trusted issuer can be linked; see 'idmap issuers list'.",
        ),
        Reason.ROBOT_AND_PERSON: _T(
            "A robot and a person do not share an account.",
            "Give the robot an account of its own by a rule for robots.",
        ),
        Reason.LAST_IDENTITY: _T(
            "It is the account's last identity; without it nobody could use the account.",
            "Suspend or close the account first, or link another identity.",
        ),
        Reason.ACCOUNT_SHARED: _T(
            "Who uses this account, the rules say and nobody else.",
            "Change the rule, or the group it names. To shut one person out, ban the identity or write a deny rule.",
        ),
        Reason.EVIDENCE_CONTRADICTED: _T(
            "More than one person claims this linked id; at most one of them can be right.",
            "Refuse the wrong claims with 'idmap identities evidence refuse', then approve the right one.",
        ),
        Reason.EVIDENCE_SETTLED: _T(
            "This evidence is decided, or its source says it no longer.",
            "'idmap identities link' and 'unlink' change what an account's identities are.",
        ),
        Reason.LOCAL_ACCOUNT: _T(
            "This node has an account of its own under that name or number.",
            "An administrator renames the node's own account; 'idmap-agent status' lists clashes.",
        ),
        Reason.NODE_FILES_UNREADABLE: _T(
            "This node's account files cannot be read.",
            "An administrator runs 'idmap-agent verify' and 'idmap-agent sync --once' on the node.",
        ),
        Reason.SNAPSHOT_EXPIRED: _T(
            "This node's account data is too old to admit anybody.",
            "An administrator looks at 'idmap-agent status'; the service may be out of reach.",
        ),
        Reason.CLOCK_SKEW: _T(
            "This node's clock is wrong.", "An administrator repairs time synchronisation."
        ),
        Reason.AGENT_UNAVAILABLE: _T(
            "The verifier on this node does not answer.",
            "An administrator restarts idmap-verify; logins with keys still work.",
        ),
        Reason.SERVICE_UNAVAILABLE: _T("The idmap service does not answer.", "Try again later."),
        Reason.NAME_REFUSED: _T(
            "The name is not allowed as a POSIX name here.",
            "Choose 1 to 31 of a-z, 0-9 and _, not starting with a digit, and not reserved.",
        ),
        Reason.NAME_TAKEN: _T("The name has been issued before.", "Choose another name."),
        Reason.NUMBER_REFUSED: _T(
            "The number lies where no issued number may lie.",
            "Stay out of 0-999, 60001-65535 and everything from 2147483648 up.",
        ),
        Reason.NUMBER_TAKEN: _T("The number has been issued before.", "Choose another number."),
        Reason.RANGE_EXHAUSTED: _T(
            "The range has no free number left.", "Add a range with 'idmap ranges add'."
        ),
        Reason.RANGE_OVERLAPS: _T(
            "The range overlaps another one.", "'idmap ranges list' shows all ranges."
        ),
        Reason.RANGE_UNKNOWN: _T(
            "There is no range of that name.", "'idmap ranges list' shows all ranges."
        ),
        Reason.RANGE_CROWDED: _T(
            "Other software uses numbers of this range too.",
            "Choose another range, or acknowledge it: --acknowledge, or acknowledge: true.",
        ),
        Reason.NUMBERS_FOREIGN: _T(
            "Something else on the site uses numbers of this range.",
            "Choose another range, or pass --acknowledge-foreign: those numbers are then never issued.",
        ),
        Reason.SITE_UNAVAILABLE: _T(
            "The site's directory could not be asked which numbers are in use.",
            "Try again when it answers; [site.ldap] in idmap.toml says where it is.",
        ),
        Reason.RULE_INVALID: _T(
            "The rules cannot be used as written.",
            "The detail names the rule and the line to mend.",
        ),
        Reason.RULE_EXAMPLE_FAILED: _T(
            "An example that the rules carry does not come out as it says.",
            "Mend the rule or the example; the detail says what came out.",
        ),
        Reason.RULES_TAKE_AWAY: _T(
            "Saving these rules would take accounts away from more people than may lose one at once.",
            "Look at 'idmap rules test FILE --people --effect loses'; if it is meant, say how many: --accept-loss N.",
        ),
        Reason.CLASS_WITHOUT_PRIMARY_GROUP: _T(
            "An account class names no primary group.", "Add primary_group to the class."
        ),
        Reason.ISSUER_INVALID: _T(
            "The issuer's profile cannot be used as written.", "The detail names the field to mend."
        ),
        Reason.PAIRWISE_SUBJECT: _T(
            "The issuer gives each client another subject for the same person.",
            "Name the claim that stays the same for everybody with --subject-claim, as in voperson_id.",
        ),
        Reason.TRANSITION_REFUSED: _T(
            "The account cannot go from its state to that one.",
            "'idmap accounts show' tells its state.",
        ),
        Reason.VERSION_CONFLICT: _T(
            "Somebody else changed this in the meantime.", "Read it again and repeat your change."
        ),
        Reason.IDEMPOTENCY_KEY_REUSED: _T(
            "The idempotency key belongs to another request.",
            "Send each request with a key of its own; a repetition must be the same in every byte.",
        ),
        Reason.REQUEST_RUNNING: _T(
            "A request with this idempotency key is being answered just now.",
            "Send it again, with the same key, in a few seconds.",
        ),
        Reason.SECRET_GIVEN_ONCE: _T(
            "This was done already, and its secret was given once.",
            "If the secret did not arrive, revoke the credential and make a new one.",
        ),
        Reason.SOURCE_INCOMPLETE: _T(
            "The source's listing could not be proved complete; nothing was changed.",
            "Run again; if it persists, look at the source's own log.",
        ),
        Reason.SOURCE_UNAVAILABLE: _T(
            "The source could not be read; nothing was changed.", "Run again when it answers."
        ),
        Reason.SOURCE_REFUSED: _T(
            "The source refused our credential; nothing was changed.",
            "Check the client's scopes (scim:read, iam:admin.read) and its secret file.",
        ),
        Reason.SOURCE_GROUP_MISSING: _T(
            "A configured group does not exist at the source; nothing was changed.",
            "Check the group's full path in the source's settings.",
        ),
        Reason.SOURCE_LACKS_FACTS: _T(
            "The source cannot tell what the rules ask for; nothing was changed.",
            "Take the condition out of the rules, or read the issuer by a source that tells it.",
        ),
        Reason.GROUP_REPLACED: _T(
            "A group was made anew at the source under the path of another; nothing was changed.",
            "If the new one may have the old one's gid and files: 'idmap groups rebind'; else rename it at the source.",
        ),
        Reason.GUARD_STOPPED: _T(
            "The plan removes more than the guard allows; nothing was changed.",
            "Read the plan; if it is right, run again with --approve and its hash.",
        ),
        Reason.PLAN_STALE: _T(
            "The approved plan is not the plan of now; nothing was changed.",
            "Read the new plan and approve its hash.",
        ),
        Reason.ALREADY_RUNNING: _T(
            "Another provisioning run is under way.", "Wait until it has ended."
        ),
        Reason.MANIFEST_INVALID: _T(
            "The snapshot's manifest is malformed; it was not installed.",
            "Look at the service's log.",
        ),
        Reason.MANIFEST_UNTRUSTED: _T(
            "The snapshot's manifest is not signed by the pinned key; it was not installed.",
            "Compare agent.toml's key with 'idmap keys list' on the service.",
        ),
        Reason.SNAPSHOT_OLDER: _T(
            "The snapshot is older than the installed one; it was not installed.",
            "If the service was restored from a backup, use 'idmap db restore' so that revisions go on.",
        ),
        Reason.DOWNLOAD_TAMPERED: _T(
            "A downloaded part is not what the manifest promises; it was not installed.",
            "Look at what stands between node and service.",
        ),
        Reason.DOWNLOAD_FAILED: _T(
            "The snapshot could not be fetched; the last good files stay.", "Check the network."
        ),
        Reason.INSTALL_FAILED: _T(
            "The node files could not be written; the last good files stay.",
            "Check free space and permissions of /var/lib/idmap.",
        ),
        Reason.SIGNER_REFUSED: _T(
            "The signer refused the request.", "Look at the signer's log; it names the record."
        ),
        Reason.SIGNER_UNAVAILABLE: _T("The signer does not answer.", "Start 'idmap sign'."),
        Reason.CREDENTIAL_MISSING: _T(
            "This door needs a credential.", "Send 'Authorization: Bearer …'."
        ),
        Reason.CREDENTIAL_REFUSED: _T(
            "The credential is not accepted at this door.", "Ask an administrator for a new one."
        ),
        Reason.ROLE_MISSING: _T(
            "You may not do this.", "Ask a site administrator for the role that the detail names."
        ),
        Reason.OWN_CASE: _T(
            "Nobody decides this in their own case.", "Ask another administrator who has the role."
        ),
        Reason.DOOR_REFUSED: _T(
            "The component may not ask for that door.",
            "'idmap components' lists the doors a component may ask for.",
        ),
        Reason.REQUEST_INVALID: _T("The request is malformed.", "The detail names the field."),
        Reason.NOT_FOUND: _T("There is no such thing here.", "Check the name or number."),
        Reason.CONFIGURATION_INVALID: _T(
            "The configuration cannot be used.", "The detail names the file and the setting."
        ),
        Reason.SCHEMA_MISMATCH: _T(
            "The database has another schema than this version of idmap.",
            "Run 'idmap db upgrade', or install the version that wrote it.",
        ),
        Reason.RECORD_BROKEN: _T(
            "The record of changes does not hold: an entry was altered or removed.",
            "Treat it as a security incident; compare with a backup.",
        ),
        Reason.BACKUP_INVALID: _T(
            "The file is no backup of a registry, or it is damaged.",
            "Take another copy: one that 'idmap db backup' wrote verifies itself.",
        ),
        Reason.BACKUP_FOREIGN: _T(
            "The backup belongs to another realm.",
            "Check the file; if it is meant, repeat with --another-realm.",
        ),
        Reason.DATABASE_IN_USE: _T(
            "Another process has the database open.",
            "Stop 'idmap serve', 'idmap work' and every other idmap command, or wait for the restore to end.",
        ),
        Reason.INTERNAL_ERROR: _T(
            "Something went wrong inside idmap.", "Give the reference to the site's support."
        ),
    }
)
