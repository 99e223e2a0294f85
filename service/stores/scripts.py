"""The store's scripts: whatever reads before it writes is one of these, and so atomic.

Each writes first what a full or read-only server refuses, so that a refused one has changed nothing.
"""

from __future__ import annotations

import hashlib

Command = tuple[bytes | str | int, ...]

# KEYS: record, older. ARGV: expected revision (8 bytes), new record, seconds to live or 0 to leave the time as it is,
# most older events, then the events that left.
REPLACE = r"""
local revision = redis.call('GETRANGE', KEYS[1], 0, 7)
local begins = revision == ''
if begins then revision = string.rep('\0', 8) end
if revision ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
  return 1
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
if begins then redis.call('UNLINK', KEYS[2]) end
if #ARGV > 4 then
  redis.call('RPUSH', KEYS[2], unpack(ARGV, 5))
  redis.call('LTRIM', KEYS[2], -tonumber(ARGV[4]), -1)
end
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
"""

# KEYS: record, older, served. ARGV: expected revision (8 bytes), new record or nothing, then all older events.
# The last list served was made with what is forgotten.
REWRITE = r"""
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('UNLINK', unpack(KEYS)) end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
redis.call('UNLINK', KEYS[2], KEYS[3])
for place = 3, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[place]) end
redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1]))
return 1
"""

# KEYS: record, older, served. Answers which of them there were. It writes even where there is nothing, so that waiting
# for the disk covers an erasure whose answer was lost; not when the server is full, where only erasing is allowed.
ERASE = r"""
local found = {}
for place, key in ipairs(KEYS) do found[place] = redis.call('EXISTS', key) end
redis.pcall('SET', KEYS[1], '')
redis.call('UNLINK', unpack(KEYS))
return found
"""

# KEYS: record, older, served. ARGV: lineage (the last 4 bytes of the revision that the list was made from), the list,
# its seconds to live, the user's, and below how many of them these are renewed: asking for a list is contact. A list
# made before something was forgotten is not kept.
NOTE_SERVED = r"""
if redis.call('GETRANGE', KEYS[1], 4, 7) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[3], ARGV[2], 'EX', ARGV[3])
if redis.call('TTL', KEYS[1]) < tonumber(ARGV[5]) then
  redis.call('EXPIRE', KEYS[1], ARGV[4])
  redis.call('EXPIRE', KEYS[2], ARGV[4])
end
return 1
"""

_TEXTS = {
    hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(): text
    for text in (REPLACE, REWRITE, ERASE, NOTE_SERVED)
}
_SHAS = {text: sha for sha, text in _TEXTS.items()}


def call(script: str, keys: tuple[bytes, ...], *arguments: bytes | str | int) -> Command:
    """The command that runs a script which the server has seen before."""
    return "EVALSHA", _SHAS[script], len(keys), *keys, *arguments


def with_text(command: Command) -> Command:
    """The same call for a server that has forgotten the script; it brings it along and leaves it there."""
    _, sha, *rest = command
    return "EVAL", _TEXTS[str(sha)], *rest
