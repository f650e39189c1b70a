"""Answers to requests that carried a key, kept to be repeated: bounded in time and per caller.

They lie in the registry so that they are committed with the change that they tell of.
"""

from __future__ import annotations

from sqlalchemy import delete, select

from idmap.adapters.sql.changes import canonical
from idmap.adapters.sql.tables import KEPT_ANSWERS
from idmap.adapters.sql.transaction import Transaction
from idmap.application.ports import KeptAnswer


class AnswerWriter(Transaction):
    """The part of `RegistryWriter` that keeps answers; none of it is a change of the site's policy or people."""

    def keep_answer(self, answer: KeptAnswer, *, at_most: int) -> None:
        self.forget_answers(answer.at)
        mine = KEPT_ANSWERS.c.caller == answer.caller
        # Several answers may be of the same second: the oldest of those in the way go, by their key.
        oldest = (
            select(KEPT_ANSWERS.c.request_key)
            .where(mine)
            .order_by(KEPT_ANSWERS.c.at.desc(), KEPT_ANSWERS.c.request_key)
            .offset(at_most - 1)
            .limit(1000)
        )
        surplus = list(self._db.scalars(oldest))
        if surplus:
            self._db.execute(
                delete(KEPT_ANSWERS).where(mine, KEPT_ANSWERS.c.request_key.in_(surplus))
            )
        self._insert(
            KEPT_ANSWERS,
            {
                "caller": answer.caller,
                "request_key": answer.key,
                "fingerprint": answer.fingerprint,
                "at": answer.at,
                "expires": answer.expires,
                "status": answer.status,
                "headers": canonical(dict(answer.headers)),
                "body": answer.body,
            },
        )

    def forget_answers(self, at: int) -> int:
        gone = self._db.execute(delete(KEPT_ANSWERS).where(KEPT_ANSWERS.c.expires <= at))
        return gone.rowcount
