BEGIN TRANSACTION;
CREATE TABLE accounts (
	account_id INTEGER NOT NULL, 
	username TEXT NOT NULL, 
	uid_number INTEGER NOT NULL, 
	primary_group_id INTEGER NOT NULL, 
	home TEXT NOT NULL, 
	shell TEXT NOT NULL, 
	state TEXT NOT NULL, 
	grace_until DATE, 
	expires_on DATE, 
	held BOOLEAN NOT NULL, 
	rule_id TEXT NOT NULL, 
	CONSTRAINT pk_accounts PRIMARY KEY (account_id), 
	CONSTRAINT ck_accounts_grace CHECK ((state = 'grace') = (grace_until IS NOT NULL)), 
	CONSTRAINT ck_accounts_held CHECK (NOT held OR state = 'suspended'), 
	CONSTRAINT ck_accounts_state CHECK (state IN ('active', 'grace', 'suspended', 'tombstone')), 
	CONSTRAINT ck_accounts_law_10 CHECK (uid_number BETWEEN 1000 AND 60000 OR uid_number BETWEEN 65536 AND 2147483647), 
	CONSTRAINT fk_accounts_primary_group_id FOREIGN KEY(primary_group_id) REFERENCES posix_groups (group_id), 
	CONSTRAINT fk_accounts_username FOREIGN KEY(username) REFERENCES ledger_names (name), 
	CONSTRAINT uq_accounts_uid_number UNIQUE (uid_number), 
	CONSTRAINT uq_accounts_username UNIQUE (username)
);
INSERT INTO "accounts" VALUES(1,'active',200000,1,'/home/active','/bin/bash','active',NULL,NULL,0,'members');
INSERT INTO "accounts" VALUES(2,'grace',200001,1,'/home/grace','/bin/bash','grace','2030-01-01',NULL,0,'members');
INSERT INTO "accounts" VALUES(3,'suspended',200002,1,'/home/suspended','/bin/bash','suspended',NULL,NULL,1,'members');
INSERT INTO "accounts" VALUES(4,'closed',200003,1,'/home/closed','/bin/bash','tombstone',NULL,NULL,0,'members');
INSERT INTO "accounts" VALUES(5,'banned',200004,1,'/home/banned','/bin/bash','active',NULL,NULL,0,'members');
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('r0002');
CREATE TABLE bans (
	ban_id INTEGER NOT NULL, 
	account_id INTEGER, 
	identity_id INTEGER, 
	reason TEXT NOT NULL, 
	author TEXT NOT NULL, 
	since BIGINT NOT NULL, 
	until BIGINT, 
	lifted_at BIGINT, 
	CONSTRAINT pk_bans PRIMARY KEY (ban_id), 
	CONSTRAINT ck_bans_someone CHECK (account_id IS NOT NULL OR identity_id IS NOT NULL), 
	CONSTRAINT ck_bans_order CHECK (until IS NULL OR until > since), 
	CONSTRAINT fk_bans_account_id FOREIGN KEY(account_id) REFERENCES accounts (account_id), 
	CONSTRAINT fk_bans_identity_id FOREIGN KEY(identity_id) REFERENCES identities (identity_id)
);
INSERT INTO "bans" VALUES(1,5,NULL,'theft','admin-key',1700000000,NULL,NULL);
INSERT INTO "bans" VALUES(2,NULL,8,'x','admin-key',1700000000,1700000009,1700000000);
CREATE TABLE change_bodies (
	sequence BIGINT NOT NULL, 
	salt BLOB NOT NULL, 
	body TEXT NOT NULL, 
	CONSTRAINT pk_change_bodies PRIMARY KEY (sequence), 
	CONSTRAINT fk_change_bodies_sequence FOREIGN KEY(sequence) REFERENCES changes (sequence)
);
INSERT INTO "change_bodies" VALUES(1,X'87DB4B46480DFFE3C3EFC6BC8859A16F','{"profile":{"accepted_types":["","at+jwt","jwt"],"algorithms":["ES256","RS256"],"aliases":[],"audiences":{"api":["https://idmap.example.org"]},"groups_claims":{"groups":"path","wlcg.groups":"path"},"issuer":"https://iam.example.org/","jwks_uri":null,"leeway_seconds":60,"max_age_seconds":86400,"profile":"indigo-iam","record_groups_from_tokens":false,"subject_claim":"sub"}}');
INSERT INTO "change_bodies" VALUES(2,X'04FD246F7DE3A2E7947D67C410FC2E12','{"first":200000,"last":200999,"purpose":"people","range":"people"}');
INSERT INTO "change_bodies" VALUES(3,X'4AF59063596F25709986308AD240E42D','{"first":300000,"last":300999,"purpose":"groups","range":"groups"}');
INSERT INTO "change_bodies" VALUES(4,X'85E0BCCBDB265406DCF1CC9B3DE29D47','{"document":{"classes":{"member":{"home":"/home/{username}","primary_group":"vo","range":"people","shell":"/bin/bash"}},"format":1,"groups":{"range":"groups"},"rules":[{"class":"member","group":"vo","id":"members","issuer":"https://iam.example.org/"}]},"version":1}');
INSERT INTO "change_bodies" VALUES(5,X'41EA1B34C76AA44A1782D0D5B54C5BF3','{"gid_number":300000,"issuer":"https://iam.example.org/","name":"vo","path":"vo","range":"groups"}');
INSERT INTO "change_bodies" VALUES(6,X'D8A87C5670469FBE1A9D06F0ECE6BA48','{"gid_number":300001,"issuer":"https://iam.example.org/","name":"g300001","path":"vo/staff","range":"groups"}');
INSERT INTO "change_bodies" VALUES(7,X'33C07D0EA6BCCBC14128E55EF6943952','{"active":true,"gained":["vo"],"issuer":"https://iam.example.org/","lost":[],"source":"iam","subject":"active"}');
INSERT INTO "change_bodies" VALUES(8,X'514C30DE88C2733369A9A39CE926E6EC','{"active":true,"gained":["vo"],"issuer":"https://iam.example.org/","lost":[],"source":"iam","subject":"grace"}');
INSERT INTO "change_bodies" VALUES(9,X'F886B41712F503FEDE3D0B464269B488','{"active":true,"gained":["vo"],"issuer":"https://iam.example.org/","lost":[],"source":"iam","subject":"suspended"}');
INSERT INTO "change_bodies" VALUES(10,X'18ACDB184EFCD464CEE0D4606CF5D17D','{"active":true,"gained":["vo"],"issuer":"https://iam.example.org/","lost":[],"source":"iam","subject":"closed"}');
INSERT INTO "change_bodies" VALUES(11,X'07852762634CDCB7685B3EDD1DD6B519','{"active":true,"gained":["vo"],"issuer":"https://iam.example.org/","lost":[],"source":"iam","subject":"banned"}');
INSERT INTO "change_bodies" VALUES(12,X'831856F190FEB9AD7BEEA80E7A2951FD','{"active":true,"gained":["vo"],"issuer":"https://iam.example.org/","lost":[],"source":"iam","subject":"robot"}');
INSERT INTO "change_bodies" VALUES(13,X'5499318EE013CC362D15AAE7B0BB2745','{"issuer":"https://iam.example.org/","source":"iam","subject":"x","unreadable":true}');
INSERT INTO "change_bodies" VALUES(14,X'3EB44D6F86A7629EE2871E1F494911B8','{"changed":7,"issuer":"https://iam.example.org/","listed":7,"notes":0,"source":"iam"}');
INSERT INTO "change_bodies" VALUES(15,X'9D63BDD847A03AB388DE55923AAE11E5','{"account_id":1,"issuer":"https://iam.example.org/","primary_group":"vo","range":"people","rule":"members","secondary_groups":["g300001"],"spelled":"active","subject":"active","uid_number":200000,"username":"active"}');
INSERT INTO "change_bodies" VALUES(16,X'E008DF511A95F90C44BF246A2C147EEE','{"account_id":2,"issuer":"https://iam.example.org/","primary_group":"vo","range":"people","rule":"members","secondary_groups":["g300001"],"spelled":"grace","subject":"grace","uid_number":200001,"username":"grace"}');
INSERT INTO "change_bodies" VALUES(17,X'536D4E678E7130DF354BC35C1FBAB75B','{"account_id":3,"issuer":"https://iam.example.org/","primary_group":"vo","range":"people","rule":"members","secondary_groups":["g300001"],"spelled":"suspended","subject":"suspended","uid_number":200002,"username":"suspended"}');
INSERT INTO "change_bodies" VALUES(18,X'9C30FAD6936E3C038456485403271B6F','{"account_id":4,"issuer":"https://iam.example.org/","primary_group":"vo","range":"people","rule":"members","secondary_groups":["g300001"],"spelled":"closed","subject":"closed","uid_number":200003,"username":"closed"}');
INSERT INTO "change_bodies" VALUES(19,X'9145AB12E539D3E6BF51C63C1D05DC39','{"account_id":5,"issuer":"https://iam.example.org/","primary_group":"vo","range":"people","rule":"members","secondary_groups":["g300001"],"spelled":"banned","subject":"banned","uid_number":200004,"username":"banned"}');
INSERT INTO "change_bodies" VALUES(20,X'2B1ADFBBCD7C4F7AF10BFC3E1855CC2D','{"account_id":2,"after":"grace","before":"active","event":"entitlement_lost","grace_until":"2030-01-01"}');
INSERT INTO "change_bodies" VALUES(21,X'B0C4DA920444681BE4E93D5F8C00804F','{"account_id":3,"after":"suspended","before":"active","event":"suspended_by_person","grace_until":null}');
INSERT INTO "change_bodies" VALUES(22,X'866C87E7C7F906157332B83918CE2DD8','{"account_id":4,"after":"tombstone","before":"active","event":"closed","grace_until":null}');
INSERT INTO "change_bodies" VALUES(23,X'7FF1A30C77088081C84DCC10E8CD7E08','{"gained":["vo/staff"],"issuer":"https://iam.example.org/","source":"token","subject":"active"}');
INSERT INTO "change_bodies" VALUES(24,X'418FC6842173516978F4E9F2FEE002F8','{"account_id":5,"ban_id":1,"issuer":null,"subject":null,"until":null,"why":"theft"}');
INSERT INTO "change_bodies" VALUES(25,X'852508BC397F30385A1FF9FAD9DCC3E6','{"account_id":null,"ban_id":2,"issuer":"https://iam.example.org/","subject":"y","until":1700000009,"why":"x"}');
INSERT INTO "change_bodies" VALUES(26,X'379DB62F090650F6E2564F022EB251D0','{"ban_id":2}');
INSERT INTO "change_bodies" VALUES(27,X'A2322D0F88E6275293807CCF1C454F30','{"doors":[],"kind":"admin_key","name":"bootstrap","node_class":null}');
INSERT INTO "change_bodies" VALUES(28,X'5DE9E040001B58FD74B8F15105C4FD02','{"doors":[],"kind":"component","name":"gate","node_class":null}');
INSERT INTO "change_bodies" VALUES(29,X'2985FAA514F783C37848FE2785569EDF','{"doors":[],"kind":"node","name":"n1","node_class":"login"}');
CREATE TABLE changes (
	sequence BIGINT NOT NULL, 
	at BIGINT NOT NULL, 
	author TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	"plan" TEXT, 
	action TEXT NOT NULL, 
	commitment BLOB NOT NULL, 
	chain BLOB NOT NULL, 
	CONSTRAINT pk_changes PRIMARY KEY (sequence)
);
INSERT INTO "changes" VALUES(1,1700000000,'admin-key','a new site',NULL,'save_issuer',X'81B58617A20F3E4A88B66CFF5029782D2E71BDD757B907C8C79DFD3553AF2EEA',X'7EE8A068D6B69371782DD52D87FC173534BD47E88D20A4B73E5815B1608C4B36');
INSERT INTO "changes" VALUES(2,1700000000,'admin-key','a new site',NULL,'add_range',X'F988E24A3A8CCF5B90BBFAC6ED1C58024F7D14FADFCE0AA7AA3873C5905231B5',X'76329C046ADDE9C074471D7A20E9BDCA50368ED4E8FD1AA92ED10B83DCFF4A64');
INSERT INTO "changes" VALUES(3,1700000000,'admin-key','a new site',NULL,'add_range',X'6B1779759EBB09860F82D24122301014793ED1E7C9462D91190645229A1805C5',X'54763C2857AD6E237DCF5671569A5F4938D6E65D6EABCCF802C3CFB44BAE35ED');
INSERT INTO "changes" VALUES(4,1700000000,'admin-key','a new site',NULL,'save_rules',X'ABE4FDED698889FE98A8A199CFBC2D360C1F6D7751B14743BB7D37FF5D86F2A1',X'8580CB7361DCF0E80633D644452931FD27556BE7422DE378418A55B0650EEC4A');
INSERT INTO "changes" VALUES(5,1700000000,'admin-key','a new site',NULL,'open_group',X'5B84919B1F80FCCAB3C3F7394D7356B2F5FD7D834767B295BA474178009CE781',X'69AB22D219DF156D5B5103E423A13090062DD145CE4764775368090859B0DAE6');
INSERT INTO "changes" VALUES(6,1700000000,'admin-key','a new site',NULL,'open_group',X'03A858A76A2742575B73424A9034321F95171D424EBF637AD235C43E67F4BFDB',X'A4047313F3A28872B70273C3C46DDFCF6C703762063AD01B5A38A388E37DEF1E');
INSERT INTO "changes" VALUES(7,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','observe_person',X'BB0C7444F6D0B6E392A3821B298BD896913A4DFBD22F7610DBBBFDF76D950556',X'AB340656F623C0F27FACBD7AF7AF2AEDA3AF7B8565EC5C2B180A119DFE4B6576');
INSERT INTO "changes" VALUES(8,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','observe_person',X'CA79A1408434889BDC7165237E44206FB8FD5BE6EF54FE4A99971F99C634D13D',X'E111FCD9A39C40AFA5EBC3CD6F02D33D365FAD539E5495ACC0971BCCAD98CEE6');
INSERT INTO "changes" VALUES(9,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','observe_person',X'516E3E8DD7304A91DBFCECF0C424CCD5B9D84C0637BAFA69ABC72357DFFF14FC',X'BA3F1ADB53F818221BE4D09DEEE8697F67E50250BC5553D3BAB4B0DA37E0CFA7');
INSERT INTO "changes" VALUES(10,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','observe_person',X'BD87625CC2A7F120691366BA8866EB2A04E1DAF6508B03EB8DB1236242915921',X'74B21F9D6E09DFAE576E2A77E394F9550C0E4DAE3AABDC4575079BCBAFF5EA0F');
INSERT INTO "changes" VALUES(11,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','observe_person',X'4D1DA38FBA6A349C7FD0D149CB7C1521ED5F8CF8AEE762654103E0C2ACFBA227',X'F47B5BD1F820F69804EAADE0358456885BD039638AB7F21ADA6820E2FC59F663');
INSERT INTO "changes" VALUES(12,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','observe_person',X'35C0D834336688C5ED3667349A3809E4A26A6D8EF7129B85E8705CAC10489797',X'5D10D4C3AC5AB902F1842182B3CE4F6BF27D3E1D18BA8CD96A09FD6CF4BF8F28');
INSERT INTO "changes" VALUES(13,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','observe_person',X'DB35971F69522DEC02EADD11275992B97C6475F05F8CE01D6AC2879A48C4D0B4',X'1EADF51C056734E66305C8980AE8D547F9E99998B9E3E8B2F45D7CFFECD99BC8');
INSERT INTO "changes" VALUES(14,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','record_listing',X'D37AFF0058F9ECE0FEAB6B0C668E72D62D049C76913587B31740B4CC2678B766',X'28257DD745E168E4501339C161E8D3A94E4EF20B10E36DA0617DD4CA45B1CB46');
INSERT INTO "changes" VALUES(15,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','open_account',X'238E6007D754DD842F18DA69C73B381635ED0F2915041E658DD83B6A754BF110',X'3C51E1CEAD26AAA927AA3A1126BD814DA54982432E5A00E6F8E10FA0D13031B0');
INSERT INTO "changes" VALUES(16,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','open_account',X'20C81BE2B685B9EFD3C9CD2584E356F56C145F1DE02EFD55C3B5D0676DCEF341',X'4362E8648FB03262BFE4024AA21BB80AAAA411C9BACFB59B274E019E8F1DF7E2');
INSERT INTO "changes" VALUES(17,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','open_account',X'430920405C154470A7107A49BC18693893F783AF89BE1A2DD28C7E79EF0936A1',X'89BE65A52D12AD2DCAE9823C8858CB0ACDE4D69E2A76613B8207DA9ACDA1E201');
INSERT INTO "changes" VALUES(18,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','open_account',X'CAC8B733CF77B49DDC44EA18E2BC970ABE00F7AD6DB3BC1CBB400CFE9CEEFF63',X'D2F49E0355F14ED4F502B825A788F9D116A8E38F1C6AAF10587982CCAA3E4C5B');
INSERT INTO "changes" VALUES(19,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','open_account',X'3C612DA1FC5E999C212DFF50C7A6EC9B27D84260C583CF8F96508ED4D907972A',X'15F2F11BF99ADFE10A95B1A8E02C36EBF8BC5AA58267508BBBBE57FFF2629EB0');
INSERT INTO "changes" VALUES(20,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','move_account',X'59B375AB2638544C525D3188701A27D1E9EDD051D65139597D5D5B24A88B8E13',X'753F4A580285D36ABF66B52376022D280005C75A342116BB8225A108EE7FFE3C');
INSERT INTO "changes" VALUES(21,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','move_account',X'F4A90913238808942742709A9BD3AF31875B9A2977F65839E0276843079E85F9',X'83D3594AF9530A33E571CE12EC7516A7470C856049AEE616295EB715630E3159');
INSERT INTO "changes" VALUES(22,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','move_account',X'AA9DA6FF0B0B1F7E42B6570F04F6805B280F69E33FF5EB4CAB2110D1BD6D8540',X'13698178F7EAD3C302520575F01CACB319F50063B1FBA7DF8D027F23162A55CF');
INSERT INTO "changes" VALUES(23,1700000000,'admin-key','an incident',NULL,'observe_person',X'545AD688E74D54184D6393C76D1C9C210920C13A836CF54BAA3ED1B37E70FA54',X'5EDDB246AAA6152FDB1EA2C50B3774BC35EE04AD5BED9CFAD5BAD389A029B0D0');
INSERT INTO "changes" VALUES(24,1700000000,'admin-key','an incident',NULL,'add_ban',X'E38A99CF11C32F8F4DBB920518B6B78ACBF924403A022EA013DB44D705833BFC',X'939CAC13BF56EB25C34D1DC7AC9546E41D5FCB54F2C7085972CFE7859C158461');
INSERT INTO "changes" VALUES(25,1700000000,'admin-key','an incident',NULL,'add_ban',X'59A91CB63B595AAF1B0CAED5EFC0D0E55BF584397968B6B57CA97DE8063BFD64',X'D2D3C47A462F3434436B7E5E815B035B1834D6B59B37E118E953C884091A0964');
INSERT INTO "changes" VALUES(26,1700000000,'admin-key','an incident',NULL,'lift_ban',X'CF7D2CA9A7F2AD1D1501B4772C06A3986639ECBCB982625A75B620787302A293',X'CF348B3C6CBCC9C70D5608B7F6E11853150DCE8E2922BC2287AC7DDF3BA7C2AE');
INSERT INTO "changes" VALUES(27,1700000000,'admin-key','an incident',NULL,'add_credential',X'1D3C8D46279C8D98AF62CA5D79AE86CB715EDADFB40214F77E484D7EAF4C73B5',X'40C6BA9EB573A22A37DB0A59C9362AF673D60610417E045D40991B0FC47D34C5');
INSERT INTO "changes" VALUES(28,1700000000,'admin-key','an incident',NULL,'add_credential',X'A434149AFE585A9A290700C365826CD13013ACC63F681CDFF6FB4948D11A6F3C',X'9E01C79C1666487AB3314200247472FC52F8CA8CF4B91D3AC8718E0C09DC36CF');
INSERT INTO "changes" VALUES(29,1700000000,'admin-key','an incident',NULL,'add_credential',X'2BC1BE1E5172A9DC1C8A0DF4FBBF521F53B6FE1818966F083CCD5F5CA5EBF70B',X'B13B71A47179D713BD490BF52407A7BAD3D7623310ACF047A2443F52E37865B0');
CREATE TABLE counters (
	name TEXT NOT NULL, 
	value BIGINT NOT NULL, 
	CONSTRAINT pk_counters PRIMARY KEY (name)
);
INSERT INTO "counters" VALUES('revision',2);
INSERT INTO "counters" VALUES('ban_counter',1);
CREATE TABLE credentials (
	credential_id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	name TEXT NOT NULL, 
	digest BLOB NOT NULL, 
	node_class TEXT, 
	doors TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	revoked_at BIGINT, 
	CONSTRAINT pk_credentials PRIMARY KEY (credential_id), 
	CONSTRAINT ck_credentials_kind CHECK (kind IN ('admin_key', 'component', 'node')), 
	CONSTRAINT ck_credentials_sha256 CHECK (length(digest) = 32), 
	CONSTRAINT uq_credentials_digest UNIQUE (digest)
);
INSERT INTO "credentials" VALUES(1,'admin_key','bootstrap',X'333C04DD151A2A6831C039CB9A651DF29198BE8A04E16CE861D4B6A34A11C954',NULL,'[]',1700000000,NULL);
INSERT INTO "credentials" VALUES(2,'component','gate',X'C974E17B8E7321CE8C12983DE3D0ED4A289821F579BBE0925B0181A4BC8E8D80',NULL,'[]',1700000000,NULL);
INSERT INTO "credentials" VALUES(3,'node','n1',X'676B8BB84CE7267DD520DECA4811C8F10A53E636352F06987F42FE425ACEDD80','login','[]',1700000000,NULL);
CREATE TABLE groups (
	group_id INTEGER NOT NULL, 
	issuer TEXT NOT NULL, 
	path TEXT NOT NULL, 
	listed_at BIGINT, 
	CONSTRAINT pk_groups PRIMARY KEY (group_id), 
	CONSTRAINT uq_groups_issuer_path UNIQUE (issuer, path)
);
INSERT INTO "groups" VALUES(1,'https://iam.example.org/','vo',1700000000);
INSERT INTO "groups" VALUES(2,'https://iam.example.org/','vo/staff',1700000000);
CREATE TABLE identities (
	identity_id INTEGER NOT NULL, 
	issuer TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	account_id INTEGER, 
	active BOOLEAN NOT NULL, 
	preferred_username TEXT, 
	first_seen BIGINT NOT NULL, 
	unreadable_since BIGINT, robot BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_identities PRIMARY KEY (identity_id), 
	CONSTRAINT fk_identities_account_id FOREIGN KEY(account_id) REFERENCES accounts (account_id), 
	CONSTRAINT uq_identities_issuer_subject UNIQUE (issuer, subject)
);
INSERT INTO "identities" VALUES(1,'https://iam.example.org/','active',1,1,'active',1700000000,NULL,0);
INSERT INTO "identities" VALUES(2,'https://iam.example.org/','grace',2,1,'grace',1700000000,NULL,0);
INSERT INTO "identities" VALUES(3,'https://iam.example.org/','suspended',3,1,'suspended',1700000000,NULL,0);
INSERT INTO "identities" VALUES(4,'https://iam.example.org/','closed',4,1,'closed',1700000000,NULL,0);
INSERT INTO "identities" VALUES(5,'https://iam.example.org/','banned',5,1,'banned',1700000000,NULL,0);
INSERT INTO "identities" VALUES(6,'https://iam.example.org/','robot',NULL,1,'robot',1700000000,NULL,1);
INSERT INTO "identities" VALUES(7,'https://iam.example.org/','x',NULL,1,NULL,1700000000,1700000000,0);
INSERT INTO "identities" VALUES(8,'https://iam.example.org/','y',NULL,1,NULL,1700000000,NULL,0);
CREATE TABLE issuers (
	issuer TEXT NOT NULL, 
	profile TEXT NOT NULL, 
	CONSTRAINT pk_issuers PRIMARY KEY (issuer)
);
INSERT INTO "issuers" VALUES('https://iam.example.org/','{"accepted_types":["","at+jwt","jwt"],"algorithms":["ES256","RS256"],"aliases":[],"audiences":{"api":["https://idmap.example.org"]},"groups_claims":{"groups":"path","wlcg.groups":"path"},"issuer":"https://iam.example.org/","jwks_uri":null,"leeway_seconds":60,"max_age_seconds":86400,"profile":"indigo-iam","record_groups_from_tokens":false,"subject_claim":"sub"}');
CREATE TABLE leases (
	name TEXT NOT NULL, 
	holder TEXT NOT NULL, 
	expires BIGINT NOT NULL, 
	CONSTRAINT pk_leases PRIMARY KEY (name)
);
INSERT INTO "leases" VALUES('work','one',1700000060);
CREATE TABLE ledger_names (
	name TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	issued_at BIGINT NOT NULL, 
	author TEXT NOT NULL, 
	"plan" TEXT, 
	retired_at BIGINT, 
	CONSTRAINT pk_ledger_names PRIMARY KEY (name), 
	CONSTRAINT ck_ledger_names_kind CHECK (kind IN ('user', 'group')), 
	CONSTRAINT ck_ledger_names_law_10 CHECK (length(name) BETWEEN 1 AND 32 AND lower(name) NOT IN ('adm', 'admin', 'audio', 'backup', 'bin', 'daemon', 'dialout', 'disk', 'docker', 'incus', 'incus_admin', 'input', 'kmem', 'kvm', 'libvirt', 'lxc', 'lxd', 'mem', 'netdev', 'operator', 'plugdev', 'podman', 'render', 'root', 'shadow', 'ssl_cert', 'staff', 'sudo', 'sudoers', 'sys', 'systemd_journal', 'tty', 'utmp', 'vboxusers', 'video', 'wheel', 'wireshark'))
);
INSERT INTO "ledger_names" VALUES('vo','group','group:1',1700000000,'admin-key',NULL,NULL);
INSERT INTO "ledger_names" VALUES('g300001','group','group:2',1700000000,'admin-key',NULL,NULL);
INSERT INTO "ledger_names" VALUES('active','user','account:1',1700000000,'provision:run-1','digest-of-a-plan',NULL);
INSERT INTO "ledger_names" VALUES('grace','user','account:2',1700000000,'provision:run-1','digest-of-a-plan',NULL);
INSERT INTO "ledger_names" VALUES('suspended','user','account:3',1700000000,'provision:run-1','digest-of-a-plan',NULL);
INSERT INTO "ledger_names" VALUES('closed','user','account:4',1700000000,'provision:run-1','digest-of-a-plan',1700000000);
INSERT INTO "ledger_names" VALUES('banned','user','account:5',1700000000,'provision:run-1','digest-of-a-plan',NULL);
CREATE TABLE ledger_numbers (
	kind TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	owner TEXT NOT NULL, 
	range_name TEXT, 
	rule TEXT, 
	issued_at BIGINT NOT NULL, 
	author TEXT NOT NULL, 
	"plan" TEXT, 
	retired_at BIGINT, 
	CONSTRAINT pk_ledger_numbers PRIMARY KEY (kind, number), 
	CONSTRAINT ck_ledger_numbers_kind CHECK (kind IN ('uid', 'gid')), 
	CONSTRAINT ck_ledger_numbers_law_10 CHECK (number BETWEEN 1000 AND 60000 OR number BETWEEN 65536 AND 2147483647), 
	CONSTRAINT fk_ledger_numbers_range_name FOREIGN KEY(range_name) REFERENCES ranges (name)
);
INSERT INTO "ledger_numbers" VALUES('gid',300000,'group:1','groups',NULL,1700000000,'admin-key',NULL,NULL);
INSERT INTO "ledger_numbers" VALUES('gid',300001,'group:2','groups',NULL,1700000000,'admin-key',NULL,NULL);
INSERT INTO "ledger_numbers" VALUES('uid',200000,'account:1','people','members',1700000000,'provision:run-1','digest-of-a-plan',NULL);
INSERT INTO "ledger_numbers" VALUES('uid',200001,'account:2','people','members',1700000000,'provision:run-1','digest-of-a-plan',NULL);
INSERT INTO "ledger_numbers" VALUES('uid',200002,'account:3','people','members',1700000000,'provision:run-1','digest-of-a-plan',NULL);
INSERT INTO "ledger_numbers" VALUES('uid',200003,'account:4','people','members',1700000000,'provision:run-1','digest-of-a-plan',1700000000);
INSERT INTO "ledger_numbers" VALUES('uid',200004,'account:5','people','members',1700000000,'provision:run-1','digest-of-a-plan',NULL);
CREATE TABLE memberships (
	account_id INTEGER NOT NULL, 
	group_id INTEGER NOT NULL, 
	CONSTRAINT pk_memberships PRIMARY KEY (account_id, group_id), 
	CONSTRAINT fk_memberships_account_id FOREIGN KEY(account_id) REFERENCES accounts (account_id), 
	CONSTRAINT fk_memberships_group_id FOREIGN KEY(group_id) REFERENCES posix_groups (group_id)
);
INSERT INTO "memberships" VALUES(1,2);
INSERT INTO "memberships" VALUES(2,2);
INSERT INTO "memberships" VALUES(3,2);
INSERT INTO "memberships" VALUES(4,2);
INSERT INTO "memberships" VALUES(5,2);
CREATE TABLE node_local_names (
	node TEXT NOT NULL, 
	name TEXT NOT NULL, 
	CONSTRAINT pk_node_local_names PRIMARY KEY (node, name), 
	CONSTRAINT fk_node_local_names_node FOREIGN KEY(node) REFERENCES nodes (name)
);
INSERT INTO "node_local_names" VALUES('n1','web');
CREATE TABLE nodes (
	name TEXT NOT NULL, 
	node_class TEXT NOT NULL, 
	revision BIGINT NOT NULL, 
	ban_counter BIGINT NOT NULL, 
	reported BIGINT, 
	masked TEXT NOT NULL, 
	CONSTRAINT pk_nodes PRIMARY KEY (name)
);
INSERT INTO "nodes" VALUES('n1','login',1,0,1700000000,'["web"]');
CREATE TABLE observations (
	identity_id INTEGER NOT NULL, 
	group_id INTEGER NOT NULL, 
	source TEXT NOT NULL, 
	seen_at BIGINT NOT NULL, 
	CONSTRAINT pk_observations PRIMARY KEY (identity_id, group_id, source), 
	CONSTRAINT fk_observations_group_id FOREIGN KEY(group_id) REFERENCES groups (group_id), 
	CONSTRAINT fk_observations_identity_id FOREIGN KEY(identity_id) REFERENCES identities (identity_id)
);
INSERT INTO "observations" VALUES(1,1,'source:iam',1700000000);
INSERT INTO "observations" VALUES(2,1,'source:iam',1700000000);
INSERT INTO "observations" VALUES(3,1,'source:iam',1700000000);
INSERT INTO "observations" VALUES(4,1,'source:iam',1700000000);
INSERT INTO "observations" VALUES(5,1,'source:iam',1700000000);
INSERT INTO "observations" VALUES(6,1,'source:iam',1700000000);
INSERT INTO "observations" VALUES(1,2,'token',1700000001);
CREATE TABLE posix_groups (
	group_id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	gid_number INTEGER NOT NULL, 
	CONSTRAINT pk_posix_groups PRIMARY KEY (group_id), 
	CONSTRAINT ck_posix_groups_law_10 CHECK (gid_number BETWEEN 1000 AND 60000 OR gid_number BETWEEN 65536 AND 2147483647), 
	CONSTRAINT fk_posix_groups_group_id FOREIGN KEY(group_id) REFERENCES groups (group_id), 
	CONSTRAINT fk_posix_groups_name FOREIGN KEY(name) REFERENCES ledger_names (name), 
	CONSTRAINT uq_posix_groups_gid_number UNIQUE (gid_number), 
	CONSTRAINT uq_posix_groups_name UNIQUE (name)
);
INSERT INTO "posix_groups" VALUES(1,'vo',300000);
INSERT INTO "posix_groups" VALUES(2,'g300001',300001);
CREATE TABLE ranges (
	name TEXT NOT NULL, 
	purpose TEXT NOT NULL, 
	first INTEGER NOT NULL, 
	last INTEGER NOT NULL, 
	next_number BIGINT NOT NULL, 
	CONSTRAINT pk_ranges PRIMARY KEY (name), 
	CONSTRAINT ck_ranges_purpose CHECK (purpose IN ('people', 'groups')), 
	CONSTRAINT ck_ranges_law_10_hole CHECK (NOT (first <= 65535 AND last >= 60001)), 
	CONSTRAINT ck_ranges_order CHECK (first <= last AND next_number >= first), 
	CONSTRAINT ck_ranges_law_10_first CHECK (first BETWEEN 1000 AND 60000 OR first BETWEEN 65536 AND 2147483647), 
	CONSTRAINT ck_ranges_law_10_last CHECK (last BETWEEN 1000 AND 60000 OR last BETWEEN 65536 AND 2147483647)
);
INSERT INTO "ranges" VALUES('people','people',200000,200999,200005);
INSERT INTO "ranges" VALUES('groups','groups',300000,300999,300002);
CREATE TABLE realm (
	realm_id INTEGER NOT NULL, 
	salt BLOB NOT NULL, 
	created BIGINT NOT NULL, 
	CONSTRAINT pk_realm PRIMARY KEY (realm_id), 
	CONSTRAINT ck_realm_single CHECK (realm_id = 1)
);
INSERT INTO "realm" VALUES(1,X'2B4A5AAC48E97F05CF817340ADF502ABE0BCB1480D5B214BE71C1B471EDF4B8F',1700000000);
CREATE TABLE rule_versions (
	version INTEGER NOT NULL, 
	document TEXT NOT NULL, 
	saved_at BIGINT NOT NULL, 
	author TEXT NOT NULL, 
	CONSTRAINT pk_rule_versions PRIMARY KEY (version)
);
INSERT INTO "rule_versions" VALUES(1,'{"classes":{"member":{"home":"/home/{username}","primary_group":"vo","range":"people","shell":"/bin/bash"}},"format":1,"groups":{"range":"groups"},"rules":[{"class":"member","group":"vo","id":"members","issuer":"https://iam.example.org/"}]}',1700000000,'admin-key');
CREATE TABLE runs (
	run_id TEXT NOT NULL, 
	started BIGINT NOT NULL, 
	finished BIGINT, 
	outcome TEXT NOT NULL, 
	reason TEXT, 
	"plan" TEXT, 
	CONSTRAINT pk_runs PRIMARY KEY (run_id)
);
INSERT INTO "runs" VALUES('run-1',1700000000,1700000009,'applied',NULL,'{"changes":[]}');
CREATE UNIQUE INDEX uq_credentials_in_force ON credentials (kind, name) WHERE revoked_at IS NULL;
CREATE INDEX ix_runs_started ON runs (started);
CREATE INDEX ix_node_local_names_name ON node_local_names (name);
CREATE INDEX ix_identities_account_id ON identities (account_id);
CREATE TRIGGER ledger_numbers_never_deleted BEFORE DELETE ON ledger_numbers WHEN 1 BEGIN SELECT RAISE(ABORT, 'ledger_numbers: never_deleted'); END;
CREATE TRIGGER ledger_names_never_deleted BEFORE DELETE ON ledger_names WHEN 1 BEGIN SELECT RAISE(ABORT, 'ledger_names: never_deleted'); END;
CREATE TRIGGER ranges_never_deleted BEFORE DELETE ON ranges WHEN 1 BEGIN SELECT RAISE(ABORT, 'ranges: never_deleted'); END;
CREATE TRIGGER groups_never_deleted BEFORE DELETE ON groups WHEN 1 BEGIN SELECT RAISE(ABORT, 'groups: never_deleted'); END;
CREATE TRIGGER posix_groups_never_deleted BEFORE DELETE ON posix_groups WHEN 1 BEGIN SELECT RAISE(ABORT, 'posix_groups: never_deleted'); END;
CREATE TRIGGER accounts_never_deleted BEFORE DELETE ON accounts WHEN 1 BEGIN SELECT RAISE(ABORT, 'accounts: never_deleted'); END;
CREATE TRIGGER rule_versions_never_deleted BEFORE DELETE ON rule_versions WHEN 1 BEGIN SELECT RAISE(ABORT, 'rule_versions: never_deleted'); END;
CREATE TRIGGER counters_never_deleted BEFORE DELETE ON counters WHEN 1 BEGIN SELECT RAISE(ABORT, 'counters: never_deleted'); END;
CREATE TRIGGER realm_never_deleted BEFORE DELETE ON realm WHEN 1 BEGIN SELECT RAISE(ABORT, 'realm: never_deleted'); END;
CREATE TRIGGER changes_never_deleted BEFORE DELETE ON changes WHEN 1 BEGIN SELECT RAISE(ABORT, 'changes: never_deleted'); END;
CREATE TRIGGER ledger_numbers_never_changed BEFORE UPDATE OF kind, number, owner, range_name, rule, issued_at, author, plan ON ledger_numbers WHEN 1 BEGIN SELECT RAISE(ABORT, 'ledger_numbers: never_changed'); END;
CREATE TRIGGER ledger_names_never_changed BEFORE UPDATE OF name, kind, owner, issued_at, author, plan ON ledger_names WHEN 1 BEGIN SELECT RAISE(ABORT, 'ledger_names: never_changed'); END;
CREATE TRIGGER ranges_never_changed BEFORE UPDATE OF name, purpose, first, last ON ranges WHEN 1 BEGIN SELECT RAISE(ABORT, 'ranges: never_changed'); END;
CREATE TRIGGER groups_never_changed BEFORE UPDATE OF group_id, issuer, path ON groups WHEN 1 BEGIN SELECT RAISE(ABORT, 'groups: never_changed'); END;
CREATE TRIGGER posix_groups_never_changed BEFORE UPDATE OF group_id, name, gid_number ON posix_groups WHEN 1 BEGIN SELECT RAISE(ABORT, 'posix_groups: never_changed'); END;
CREATE TRIGGER accounts_never_changed BEFORE UPDATE OF account_id, username, uid_number ON accounts WHEN 1 BEGIN SELECT RAISE(ABORT, 'accounts: never_changed'); END;
CREATE TRIGGER rule_versions_never_changed BEFORE UPDATE OF version, document, saved_at, author ON rule_versions WHEN 1 BEGIN SELECT RAISE(ABORT, 'rule_versions: never_changed'); END;
CREATE TRIGGER counters_never_changed BEFORE UPDATE OF name ON counters WHEN 1 BEGIN SELECT RAISE(ABORT, 'counters: never_changed'); END;
CREATE TRIGGER realm_never_changed BEFORE UPDATE OF realm_id, salt, created ON realm WHEN 1 BEGIN SELECT RAISE(ABORT, 'realm: never_changed'); END;
CREATE TRIGGER changes_never_changed BEFORE UPDATE OF sequence, at, author, reason, plan, action, commitment, chain ON changes WHEN 1 BEGIN SELECT RAISE(ABORT, 'changes: never_changed'); END;
CREATE TRIGGER change_bodies_never_changed BEFORE UPDATE OF sequence, salt, body ON change_bodies WHEN 1 BEGIN SELECT RAISE(ABORT, 'change_bodies: never_changed'); END;
CREATE TRIGGER ranges_only_rises BEFORE UPDATE OF next_number ON ranges WHEN NEW.next_number < OLD.next_number BEGIN SELECT RAISE(ABORT, 'ranges: only_rises'); END;
CREATE TRIGGER counters_only_rises BEFORE UPDATE OF value ON counters WHEN NEW.value < OLD.value BEGIN SELECT RAISE(ABORT, 'counters: only_rises'); END;
CREATE TRIGGER ledger_numbers_written_once BEFORE UPDATE OF retired_at ON ledger_numbers WHEN OLD.retired_at IS NOT NULL BEGIN SELECT RAISE(ABORT, 'ledger_numbers: written_once'); END;
CREATE TRIGGER ledger_names_written_once BEFORE UPDATE OF retired_at ON ledger_names WHEN OLD.retired_at IS NOT NULL BEGIN SELECT RAISE(ABORT, 'ledger_names: written_once'); END;
CREATE TRIGGER ledger_numbers_never_replaced BEFORE INSERT ON ledger_numbers WHEN EXISTS (SELECT 1 FROM ledger_numbers WHERE kind = NEW.kind AND number = NEW.number) BEGIN SELECT RAISE(ABORT, 'ledger_numbers: never_replaced'); END;
CREATE TRIGGER ledger_names_never_replaced BEFORE INSERT ON ledger_names WHEN EXISTS (SELECT 1 FROM ledger_names WHERE name = NEW.name) BEGIN SELECT RAISE(ABORT, 'ledger_names: never_replaced'); END;
CREATE TRIGGER rule_versions_never_replaced BEFORE INSERT ON rule_versions WHEN EXISTS (SELECT 1 FROM rule_versions WHERE version = NEW.version) BEGIN SELECT RAISE(ABORT, 'rule_versions: never_replaced'); END;
CREATE TRIGGER accounts_never_replaced BEFORE INSERT ON accounts WHEN EXISTS (SELECT 1 FROM accounts WHERE account_id = NEW.account_id OR username = NEW.username OR uid_number = NEW.uid_number) BEGIN SELECT RAISE(ABORT, 'accounts: never_replaced'); END;
CREATE TRIGGER posix_groups_never_replaced BEFORE INSERT ON posix_groups WHEN EXISTS (SELECT 1 FROM posix_groups WHERE group_id = NEW.group_id OR name = NEW.name OR gid_number = NEW.gid_number) BEGIN SELECT RAISE(ABORT, 'posix_groups: never_replaced'); END;
CREATE TRIGGER changes_never_replaced BEFORE INSERT ON changes WHEN EXISTS (SELECT 1 FROM changes WHERE sequence = NEW.sequence) BEGIN SELECT RAISE(ABORT, 'changes: never_replaced'); END;
CREATE TRIGGER accounts_issued_first BEFORE INSERT ON accounts WHEN NOT EXISTS (SELECT 1 FROM ledger_numbers WHERE kind = 'uid' AND number = NEW.uid_number AND owner = 'account:' || CAST(NEW.account_id AS TEXT)) BEGIN SELECT RAISE(ABORT, 'accounts: issued_first'); END;
CREATE TRIGGER posix_groups_issued_first BEFORE INSERT ON posix_groups WHEN NOT EXISTS (SELECT 1 FROM ledger_numbers WHERE kind = 'gid' AND number = NEW.gid_number AND owner = 'group:' || CAST(NEW.group_id AS TEXT)) BEGIN SELECT RAISE(ABORT, 'posix_groups: issued_first'); END;
COMMIT;
