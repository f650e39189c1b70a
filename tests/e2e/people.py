"""The *local* person of every test host, whom idmap must leave alone."""

LOCAL_USER = "lena"
LOCAL_PASSWORD = "correct horse battery staple"
