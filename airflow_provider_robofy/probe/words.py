"""The words that the probe may say: whatever an answer holds, nothing else of it is shown.

A name of a field is a fact of the API, until somebody keys an object by a phone number. So a name is shown if it is
made of words from this file, and counted if not. That no value of an account can be in the output does then not hang
on guesses about what looks personal.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: What names of an API's fields are made of.
_WORDS = _set(
    """
    a about accept accepted access account accounts action actions active activity actor add added additional
    address admin agent agents ago ai all allow allowed amount analytics and answer answered answers any api app
    application archived array asset assets assigned at attachment attachments attribute attributes auth
    authentication author auto avatar avg balance base begin billing block blocked body bool bot bots browser
    business by calendar call calls campaign category channel channels chat chatbot chatbots chats child city click
    client closed code collection color column columns comment company completed completion confidence config
    configuration connected consent contact contacts contains content context continuation conversation
    conversations convo cookie cost count country counts crawl crawled crawler created creation credit credits
    currency current cursor custom customer customers daily dashboard data database date datetime day days default
    delete deleted delivered delivery department depth desc description detail details device direction display
    document documents domain done draft duration edit edited email enable enabled end ended ending endpoint enquiry
    error errors event events exceeded expired expires expiry external failed failure false feature features
    feedback field fields file files filter finished first flag flow follow forbidden form format found free from
    full function gender gpt group groups handoff has hash header headers height hidden history host hour hours html
    human icon id identifier ids image images in inbound inbox incoming info information input inquiry instagram
    instruction instructions integration intent internal invalid ip is item items job json key kind knowledge label
    labels language languages last lead leads left length level limit limits link linkage linked links list live llm
    local locale location log logo logs main manual map mark max maximum media medium member members memory message
    messages messenger meta metadata method min minute minutes missing mobile mode model models modified month
    monthly more multi name named names never new next none not note notes number object of off offset old on online
    only open operator option options order origin outbound outgoing output owner page pages paid param parameters
    parent participant participants pending percent permission phase phone photo pid pinned plan platform position
    preview previous price primary prior priority processed processing product profile progress project projects
    prompt property provider public query question questions queue quota rate rating raw read readiness ready reason
    received recipient record records ref referer referrer region remaining replied reply report request requests
    required reset resolved response result results retry role room row rows run running score search second seconds
    secret seen segment send sender sent sequence server service session sessions set setting settings size skip
    snippet social source sources space spam speaker stage start started starts state stats status step stop store
    stream string style sub subject submission submitted subscription success suffix summary support synced system
    tag tags target task team temperature template tenant text thread threads thumbnail ticket time timeout times
    timestamp timestamps timezone title to token tokens tool tools top topic total totals train trained training
    true type types unauthorized unique unit unix unknown unread until updated upload uploaded uri url urls usage
    use used user users utc utm uuid valid value values vector verified version view views visible visit visited
    visitor visitors visits voice web webhook website websites week weight welcome whatsapp widget width window word
    words workspace write written year yes zone
    """
)

#: Types of form fields, as makers of forms choose among them.
FIELD_TYPES = _set(
    """
    address boolean button checkbox choice city color company country currency date datetime dropdown email file group
    hidden image integer ip link list location longtext message mobile multi multiselect name number password phone
    radio range rating select signature slider string tel telephone text textarea time toggle url website zip
    """
)

#: Who speaks in a conversation, and which way a message went.
ROLES = _set(
    """
    admin agent ai assistant bot chatbot client contact customer function guest human inbound incoming lead operator
    outbound outgoing owner received sent support system tool user visitor
    """
)

#: How a crawl goes.
STATUSES = _set(
    """
    active aborted cancelled canceled complete completed crawled crawling done error failed failure finished idle
    initiated linked none partial pending processed processing queued ready running scheduled started starting stopped
    success succeeded trained training unknown uploaded
    """
)

_NAME_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[_-][A-Za-z0-9]+)*", re.ASCII)
_LONGEST_NAME = 60
_ODD = re.compile(r"\d{4}|@|//")
_FEW = 40


def known(name: str) -> bool:
    """Tell whether a name is made of words that this file holds."""
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        return False
    return all(word.lower() in _WORDS or (word.isdecimal() and len(word) == 1) for word in _NAME_WORD.findall(name))


def word(value: Any, among: frozenset[str]) -> str | None:
    """Return a value in lower case if it is one of a list of words, else None."""
    text = value.strip().lower() if isinstance(value, str) else None
    return text if text in among else None


class Names:
    """Say names of fields: those that are known, and how many others there are.

    :param reveal: Say the others too, as far as they look like names at all.
    """

    def __init__(self, *, reveal: bool = False) -> None:
        self.reveal = reveal

    def one(self, name: str) -> str:
        """Return a name, or a question mark for one that is not said."""
        return name if self._said(name) else "?"

    def path(self, names: Iterable[str]) -> str:
        """Return the way to a field through objects, such as ``data.report.rows``."""
        return ".".join(map(self.one, names))

    def many(self, names: Iterable[str]) -> list[str]:
        """Return those that are said, in the order given, and at the end how many are not."""
        every = list(names)
        said = [name for name in every if self._said(name)]
        shown, left = said[:_FEW], len(every) - len(said[:_FEW])
        if not left:
            return shown
        return [*shown, f"{left} whose {'name is' if left == 1 else 'names are'} not shown"]

    def counts(self, names: Mapping[str, int]) -> list[str]:
        """Return names with how often each was there, likewise."""
        said = [name for name in names if self._said(name)][:_FEW]
        rest = sum(names.values()) - sum(names[name] for name in said)
        return [f"{name} ({names[name]})" for name in said] + ([f"not shown ({rest})"] if rest else [])

    def _said(self, name: str) -> bool:
        if known(name):
            return True
        # On demand, but never what a number, an address or a whole sentence was made the name of.
        return self.reveal and 0 < len(name) <= _LONGEST_NAME and name.isprintable() and not _ODD.search(name)
