"""Programs that fetch mail's pictures and links by themselves, told by their user agents.

Only agents that name themselves are here. Apple's privacy proxy does not: it calls itself "Mozilla/5.0", as other
programs do, and fetches with browsers' agents too, so that only a provider which knows Apple's addresses can tell it.
"""

import re
from functools import lru_cache

AGENTS_REMEMBERED = 4_096
AGENT_CHARACTERS_MAX = 512

PRIVACY_PROXY, IMAGE_PROXY, SCANNER, PREFETCH, BOT = "privacy_proxy", "image_proxy", "scanner", "prefetch", "bot"
MACHINE_REASONS: dict[str, str] = {
    PRIVACY_PROXY: "a proxy fetched everything in advance to hide whether anybody looked (Apple)",
    PREFETCH: "fetched in advance, for another or an unknown reason",
    SCANNER: "a security gateway looked for threats",
    BOT: "another program: a crawler, a link preview, a script",
    IMAGE_PROXY: "the mailbox provider fetched the picture when a person opened the message (Gmail, Yahoo)",
}
"""The words of `client.machine_reason`, besides providers' own."""

AGENT_MARKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    # https://support.google.com/a/answer/3299041 and https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html: both
    # fetch pictures for the person who reads. Agents as at https://www.unmta.com/docs/bot-signatures, seen 2026-11.
    (IMAGE_PROXY, ("googleimageproxy", "ggpht.com", "yahoomailproxy")),
    # https://check.live-direct-marketing.online/blog/bot-clicks-security-scanners-detect, seen 2026-11. Many scanners
    # pose as browsers, so that not being here says nothing. Not verified with the vendors, who publish no agents.
    (SCANNER, ("barracuda", "proofpoint", "mimecast", "ciscosecureemail", "symantec", "messagelabs", "fortimail")),
    # https://suped.com/learn/email-deliverability/how-can-i-identify-bot-user-agents-in-my-email-click-data, seen
    # 2026-11, as the beginnings below.
    (BOT, ("crawler", "spider", "bingpreview", "facebookexternal", "slackbot", "snap url preview", "headlesschrome")),
)
"""Kinds of programs with what stands in their agents, in lower case; the first that fits counts."""

_SCRIPTS = (
    *("curl", "wget", "java", "jetty", "python-", "python/", "aiohttp", "go-http-client"),
    *("libwww-perl", "apache-httpclient", "lua-resty"),
)
"""How the agents of libraries begin."""

_BOT_NAME = re.compile(r"(?<!cu)bot\b")  # CUBOT is a brand of telephones


@lru_cache(AGENTS_REMEMBERED)
def kind_of(user_agent: str) -> str | None:
    """IMAGE_PROXY, SCANNER or BOT; None for everything that may be a person's."""
    agent = user_agent[:AGENT_CHARACTERS_MAX].lower()
    for kind, marks in AGENT_MARKS:
        for mark in marks:
            if mark in agent:
                return kind
    return BOT if agent.startswith(_SCRIPTS) or ("bot" in agent and _BOT_NAME.search(agent)) else None
