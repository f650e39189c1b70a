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
INSERT INTO "alembic_version" VALUES('r0001');
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
INSERT INTO "change_bodies" VALUES(1,X'88C53591EF38335CB1750F48A742EEE4','{"profile":{"accepted_type_claims":[],"accepted_types":["","at+jwt","jwt"],"algorithms":["ES256","RS256"],"aliases":[],"audiences":{"api":["https://idmap.example.org"]},"client_id":null,"client_secret_name":null,"groups_claims":{"groups":"path","wlcg.groups":"path"},"introspection":"none","issuer":"https://iam.example.org/","jwks_uri":null,"leeway_seconds":60,"max_age_seconds":86400,"parents_implied":false,"profile":"indigo-iam","record_groups_from_tokens":false,"required_acr":{},"required_assurance":[],"robots":"refuse","subject_claim":"sub","urn_authorities":[],"urn_namespace":null}}');
INSERT INTO "change_bodies" VALUES(2,X'93E4917779DAF800A47CF5B2563951D6','{"first":200000,"last":200999,"purpose":"people","range":"people"}');
INSERT INTO "change_bodies" VALUES(3,X'7841E9141C1EF4976D06F440669B405C','{"first":300000,"last":300999,"purpose":"groups","range":"groups"}');
INSERT INTO "change_bodies" VALUES(4,X'6F028000AC2A43683E9CD00AEB9630B7','{"document":{"classes":{"member":{"home":"/home/{username}","primary_group":"vo","range":"people","shell":"/bin/bash"}},"format":1,"groups":{"range":"groups"},"rules":[{"class":"member","group":"vo","id":"members","issuer":"https://iam.example.org/"}]},"version":1}');
INSERT INTO "change_bodies" VALUES(5,X'21BD0441117BDEE9EDA56EB7A037DBD6','{"gid_number":300000,"issuer":"https://iam.example.org/","name":"vo","path":"vo","range":"groups"}');
INSERT INTO "change_bodies" VALUES(6,X'3BF5523B532DC9A95E1E789049B29A12','{"gid_number":300001,"issuer":"https://iam.example.org/","name":"g300001","path":"vo/staff","range":"groups"}');
INSERT INTO "change_bodies" VALUES(7,X'1630484DBEC79C138D9AE8D8AD611785','{"active":true,"gained":["vo"],"issuer":"https://iam.example.org/","lost":[],"source":"iam","subject":"active"}');
INSERT INTO "change_bodies" VALUES(8,X'E9AAD742460F478E4B6BEAB9E6C2B9A4','{"active":true,"gained":["vo"],"issuer":"https://iam.example.org/","lost":[],"source":"iam","subject":"grace"}');
INSERT INTO "change_bodies" VALUES(9,X'7F7F51EEE3DEE579C4051559B9C79E31','{"active":true,"gained":["vo"],"issuer":"https://iam.example.org/","lost":[],"source":"iam","subject":"suspended"}');
INSERT INTO "change_bodies" VALUES(10,X'0D0DD4F05910013A7832BEC7107130D9','{"active":true,"gained":["vo"],"issuer":"https://iam.example.org/","lost":[],"source":"iam","subject":"closed"}');
INSERT INTO "change_bodies" VALUES(11,X'DE61D4DBEF95953D1A218736313633B5','{"active":true,"gained":["vo"],"issuer":"https://iam.example.org/","lost":[],"source":"iam","subject":"banned"}');
INSERT INTO "change_bodies" VALUES(12,X'EBDCD54125856550C7CC2169CC7671C8','{"active":true,"gained":["vo"],"issuer":"https://iam.example.org/","lost":[],"source":"iam","subject":"robot"}');
INSERT INTO "change_bodies" VALUES(13,X'D10AFD2A1E13AEBFFF167DF53C1A0D06','{"issuer":"https://iam.example.org/","source":"iam","subject":"x","unreadable":true}');
INSERT INTO "change_bodies" VALUES(14,X'9F09581B8ED6E627F9153244E09DEE94','{"changed":7,"issuer":"https://iam.example.org/","listed":7,"notes":0,"source":"iam"}');
INSERT INTO "change_bodies" VALUES(15,X'CDD35312D0674A801487EE1A7FA40A8E','{"account_id":1,"issuer":"https://iam.example.org/","primary_group":"vo","range":"people","rule":"members","secondary_groups":["g300001"],"spelled":"active","subject":"active","uid_number":200000,"username":"active"}');
INSERT INTO "change_bodies" VALUES(16,X'14E12E25539F6A8ED529FB478D310B97','{"account_id":2,"issuer":"https://iam.example.org/","primary_group":"vo","range":"people","rule":"members","secondary_groups":["g300001"],"spelled":"grace","subject":"grace","uid_number":200001,"username":"grace"}');
INSERT INTO "change_bodies" VALUES(17,X'A3D3CA5BB6F3937C09B433A2A1DA29D9','{"account_id":3,"issuer":"https://iam.example.org/","primary_group":"vo","range":"people","rule":"members","secondary_groups":["g300001"],"spelled":"suspended","subject":"suspended","uid_number":200002,"username":"suspended"}');
INSERT INTO "change_bodies" VALUES(18,X'2FAF69ED5C52261E009134B6C80F64CB','{"account_id":4,"issuer":"https://iam.example.org/","primary_group":"vo","range":"people","rule":"members","secondary_groups":["g300001"],"spelled":"closed","subject":"closed","uid_number":200003,"username":"closed"}');
INSERT INTO "change_bodies" VALUES(19,X'DDAAC1169DCC078D8F7611E5FAF52AF4','{"account_id":5,"issuer":"https://iam.example.org/","primary_group":"vo","range":"people","rule":"members","secondary_groups":["g300001"],"spelled":"banned","subject":"banned","uid_number":200004,"username":"banned"}');
INSERT INTO "change_bodies" VALUES(20,X'98F03E59167653AFFDCA0912E15B597D','{"account_id":2,"after":"grace","before":"active","event":"entitlement_lost","grace_until":"2030-01-01"}');
INSERT INTO "change_bodies" VALUES(21,X'A660023EC6C805D6EBE64CDF243A1E87','{"account_id":3,"after":"suspended","before":"active","event":"suspended_by_person","grace_until":null}');
INSERT INTO "change_bodies" VALUES(22,X'234928E9C2EE9ED3961EF3EB7C575E53','{"account_id":4,"after":"tombstone","before":"active","event":"closed","grace_until":null}');
INSERT INTO "change_bodies" VALUES(23,X'1DD7E6FE94E670E594D57A622D2135EE','{"gained":["vo/staff"],"issuer":"https://iam.example.org/","source":"token","subject":"active"}');
INSERT INTO "change_bodies" VALUES(24,X'955FDE927236D7F612F48D35199DEA28','{"account_id":5,"ban_id":1,"issuer":null,"subject":null,"until":null,"why":"theft"}');
INSERT INTO "change_bodies" VALUES(25,X'9BF78958F4BE2D1CC4B5C3101AA89253','{"account_id":null,"ban_id":2,"issuer":"https://iam.example.org/","subject":"y","until":1700000009,"why":"x"}');
INSERT INTO "change_bodies" VALUES(26,X'EA8624F6F8E915A3DB758D4AAA64B5DC','{"ban_id":2}');
INSERT INTO "change_bodies" VALUES(27,X'0DA72103153EA045ADA7A850166177E8','{"doors":[],"kind":"admin_key","name":"bootstrap","node_class":null}');
INSERT INTO "change_bodies" VALUES(28,X'298623546260E1DA9189B002F08DFF2B','{"doors":[],"kind":"component","name":"gate","node_class":null}');
INSERT INTO "change_bodies" VALUES(29,X'C989005C454B42C44E76B6A74A44DA1C','{"doors":[],"kind":"node","name":"n1","node_class":"login"}');
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
INSERT INTO "changes" VALUES(1,1700000000,'admin-key','a new site',NULL,'save_issuer',X'22F795923C45E3C3DA9FBF6CBF011872DE55E305A6CD31E0F8CF7B1787B9097B',X'3FC55488CA4649EF01980E90AAA2E0E514D0D0D043C69A5B6215C1F155B466A7');
INSERT INTO "changes" VALUES(2,1700000000,'admin-key','a new site',NULL,'add_range',X'4A686FAD1C7EE7B07C3DB229EF29795E271A51637D2D5225E8D0DD6B4F9593B0',X'DCF2962DE363BFE0BC4859E3B1DF3F204C3B50EEC4BEDF2EE59CABC700C95A31');
INSERT INTO "changes" VALUES(3,1700000000,'admin-key','a new site',NULL,'add_range',X'F650EE02C810ADD16B014D2C0A798FDDB3B297249145F8F0F291FD38D54B5849',X'99B5F21FA1E313D173A2E85837D13DF25CB428057E06E2736230DE03BB597C00');
INSERT INTO "changes" VALUES(4,1700000000,'admin-key','a new site',NULL,'save_rules',X'D11B98B1F79236273D88BE3E729D6897ACF839C142B9EB4395D91538395DB700',X'9C98571BBB5BED4CBA6353AA5A5988E70DD04A5F07E48550E94B680D7E0C27A4');
INSERT INTO "changes" VALUES(5,1700000000,'admin-key','a new site',NULL,'open_group',X'F4FE15282D60908B3C544A8F9D4AC2E3FBF1728F6C619DA36C8BD8BBAC24A4CC',X'A56E3F2CAC6E4DCA98E28A6ACCC4DC0593BE452B6D906B8E1B13F7617485D1D1');
INSERT INTO "changes" VALUES(6,1700000000,'admin-key','a new site',NULL,'open_group',X'DCA4244C84206F65EBE13BC890D75F0AAC1F7CE72B5E0D52AE1995C75D7EF1C5',X'08699ED5C4DA6F59FA2960EA963AEAF3BBA97AB7940DC1DBE33E695C50AE500B');
INSERT INTO "changes" VALUES(7,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','observe_person',X'A1DECCC71E6851ED7225B0A552AC6064074BFA468661A199EA4AFDDE2D1D1BB7',X'7678394D5D47DACECCD7CD66D864342A5F9B7D243E9B650FD6EA5501B90F0670');
INSERT INTO "changes" VALUES(8,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','observe_person',X'60265BC25C3891043862996ACD715FC1C8D5B58E726BA91904312C194642BAAC',X'0ACC9E9D656D6F6E94E202C2190D50D55B901EDA4A663C32422F18B81DBD10D7');
INSERT INTO "changes" VALUES(9,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','observe_person',X'44D8470BC3262B7B350FDE93121FAEFB658FDC1FF5BC11B7631E5887327B04DD',X'D84F3F5A57EFD39A7F1B4B8C8C78E080DEE407D1BB3E98D563771FD44C43E73C');
INSERT INTO "changes" VALUES(10,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','observe_person',X'02B035DD837C66F67FD85E89D1980D2386C921FE543AEBFB5FD4D2E9690D52F7',X'5C871AAD9E0D1552EB1402EF9A44C33F20274004A228820293B8D8A8E0D0C008');
INSERT INTO "changes" VALUES(11,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','observe_person',X'F1DC0F92995D9A4BCB64FD100A9A603C3F8F171BFEAF6CAEDE1CF19AED104BAF',X'7EDD20074FE7EAE1944645B734D72EF3F3011836562574B58C010F51230CAEA6');
INSERT INTO "changes" VALUES(12,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','observe_person',X'D0FC6C1752ED734CCBF30BC6D7A9E11A3F549F552AC719767F0959AADC8C1F18',X'DD860A553127B4B2F512C20EEBBDCE9A60B58610D2D8C3CA5182307191120FE9');
INSERT INTO "changes" VALUES(13,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','observe_person',X'A77BEFFD59CF977C2AD98A57AC745D859B1A3DC9BE37BF3025359478B6FA2FBE',X'97BD753141639F668FB8E8676F848250F65538C429E46AF47FA33973841F7A27');
INSERT INTO "changes" VALUES(14,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','record_listing',X'38455C020CBBF8C4AA613FC332DB61BED23F092BE7B8A2E3F9F1FF2E4A492E65',X'00E0B91EC7267E7EC56F6B0AB34156CA5212968C85C9EEEB39172D03A906D7AF');
INSERT INTO "changes" VALUES(15,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','open_account',X'ED0BEE2254AC0156C6BE93BFC76F073EBA0B962C30D43BA70699A35A6572A553',X'9244B34DD8CF8124711AED51660AB6F71ADCB93964CDBB9F8AEF87B3508DC43F');
INSERT INTO "changes" VALUES(16,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','open_account',X'3CEAB8BEDB83ACFED39581841CD69CA4144C901E0003E045AD199338A2BECF05',X'D907755DDE17023495AF8C4D8451D931E1CEB1A7B7537CD8E53575AD22F8161D');
INSERT INTO "changes" VALUES(17,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','open_account',X'1E5F9E1E129A0390FDD4AD634F50D27659703C68A4273F1D7D88E2284F52BD1A',X'DF2116F94F6C949D0F481864CF3322421C35E571E29EF3758A1253ADECAA67DE');
INSERT INTO "changes" VALUES(18,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','open_account',X'A2ED76780BC76D650BF23A6A213F1EE4F9E906C2D62CEF372AD22BDF03D9283E',X'4568A3EFAC3F1E1AB24448E7EE10172633669430182154E8FC32DFC638719CAE');
INSERT INTO "changes" VALUES(19,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','open_account',X'43420261353B9A67401A46B9C93370DA858DA6CD3BC5913A2C21A5039C352720',X'F1CB07DEDF2CF845FE0D958D5A4553CDE7045AE122C21965A95D19687042DCA1');
INSERT INTO "changes" VALUES(20,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','move_account',X'AC4A69E18AE64F4902D1A260E872DF3ACAD9D185A190EA9811AAE115CDB259B8',X'2DBAB8BAABDE6D470467F555B995160EBE8C6BB71413D397BA7EC34FA1F9B04D');
INSERT INTO "changes" VALUES(21,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','move_account',X'338F7CE4B3B78A97009ED1378E8031F233FEF724776B9937529301EDD5AD7C40',X'2467D4785A3E70E111B0CF1510FDC63259A6025C5B4E85F5A32267AC797B2256');
INSERT INTO "changes" VALUES(22,1700000000,'provision:run-1','nightly schedule','digest-of-a-plan','move_account',X'664B0A095F3071094BD58EA2CE75419D927C38677EC1D83F741D8CC46DED411F',X'5EC8115F9A70CDA3E13DEBF07AC9E201B1DD926AD1F2CEF51C25F0B423E892AE');
INSERT INTO "changes" VALUES(23,1700000000,'admin-key','an incident',NULL,'observe_person',X'5F9074485BE67CA8A6822D10C90D58FA60175E2513A4A72A51487D78ED7C9CD0',X'1E47CFDDDA0D91EC2D9673B247E2779F8742395F2BCC6BA69C27AD177B3AEC11');
INSERT INTO "changes" VALUES(24,1700000000,'admin-key','an incident',NULL,'add_ban',X'7888A002BE1CC825AC08EA6995A600B55F631278E751897DCEB12F8250CB3036',X'D795F5A415EB5ACFC7CA0FE4ACFA9E54843BCDB306E69EB47FC1989A032C2285');
INSERT INTO "changes" VALUES(25,1700000000,'admin-key','an incident',NULL,'add_ban',X'39B2B862EA747007EBA8BDDCEB9F42B8EBFEFB140AFBDC5B505A35949B9656D0',X'F6D49EC60EACF0151C8EE85A680FFB412517EC256960867780B3B61E91EACEB0');
INSERT INTO "changes" VALUES(26,1700000000,'admin-key','an incident',NULL,'lift_ban',X'E85CE11F723C3812FC968B74441B532FF82041571169497DCD8B94E475C07DEA',X'0F7962E6C45A40962A51BA023888D94ED4F47EAAD107B96CF8BC7AB66211C9D0');
INSERT INTO "changes" VALUES(27,1700000000,'admin-key','an incident',NULL,'add_credential',X'D31B5B94B062C717D4086B832D98FB7DD534D42A51FCDF623D4441EBE94A3BD8',X'356AE6DAD958BCCD7401E9C318BF493318A723AD5200E67A9BC0B13CA8488EEF');
INSERT INTO "changes" VALUES(28,1700000000,'admin-key','an incident',NULL,'add_credential',X'C8117E4421028BE04F1C2AC7D2E68012BE58B7F3FA5AB60AAE0AA919F3C22312',X'54734CF25559438EF5C65270E0872FF1BE5B6C30A8E80C6B0C5634E72436C134');
INSERT INTO "changes" VALUES(29,1700000000,'admin-key','an incident',NULL,'add_credential',X'A525D3F4A8C44970358F0AF2E1A2BDE6BB066649D2BEA09F7F8CDA860C0A7C70',X'8B441C1CD7E715E5EF8AE7D9E6DA37EE2AFC604B71A28AE1E5EB1B77EB112C5C');
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
	unreadable_since BIGINT, 
	CONSTRAINT pk_identities PRIMARY KEY (identity_id), 
	CONSTRAINT fk_identities_account_id FOREIGN KEY(account_id) REFERENCES accounts (account_id), 
	CONSTRAINT uq_identities_issuer_subject UNIQUE (issuer, subject)
);
INSERT INTO "identities" VALUES(1,'https://iam.example.org/','active',1,1,'active',1700000000,NULL);
INSERT INTO "identities" VALUES(2,'https://iam.example.org/','grace',2,1,'grace',1700000000,NULL);
INSERT INTO "identities" VALUES(3,'https://iam.example.org/','suspended',3,1,'suspended',1700000000,NULL);
INSERT INTO "identities" VALUES(4,'https://iam.example.org/','closed',4,1,'closed',1700000000,NULL);
INSERT INTO "identities" VALUES(5,'https://iam.example.org/','banned',5,1,'banned',1700000000,NULL);
INSERT INTO "identities" VALUES(6,'https://iam.example.org/','robot',NULL,1,'robot',1700000000,NULL);
INSERT INTO "identities" VALUES(7,'https://iam.example.org/','x',NULL,1,NULL,1700000000,1700000000);
INSERT INTO "identities" VALUES(8,'https://iam.example.org/','y',NULL,1,NULL,1700000000,NULL);
CREATE TABLE issuers (
	issuer TEXT NOT NULL, 
	profile TEXT NOT NULL, 
	CONSTRAINT pk_issuers PRIMARY KEY (issuer)
);
INSERT INTO "issuers" VALUES('https://iam.example.org/','{"accepted_type_claims":[],"accepted_types":["","at+jwt","jwt"],"algorithms":["ES256","RS256"],"aliases":[],"audiences":{"api":["https://idmap.example.org"]},"client_id":null,"client_secret_name":null,"groups_claims":{"groups":"path","wlcg.groups":"path"},"introspection":"none","issuer":"https://iam.example.org/","jwks_uri":null,"leeway_seconds":60,"max_age_seconds":86400,"parents_implied":false,"profile":"indigo-iam","record_groups_from_tokens":false,"required_acr":{},"required_assurance":[],"robots":"refuse","subject_claim":"sub","urn_authorities":[],"urn_namespace":null}');
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
INSERT INTO "realm" VALUES(1,X'16A73862AD15959992298661D075022B0ACA2EF5153718BD28053D97CD9B66E5',1700000000);
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
