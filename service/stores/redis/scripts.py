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

# Many users in one call. KEYS: record, older, served of each. ARGV: seconds to live of a list, of a user, and below how
# many of them a user's are renewed, since asking for a list is contact; then of each user the lineage (the last 4 bytes
# of the revision that the list was made from, nothing for a user without a record) and the list. A list made before
# something was forgotten is not kept.
NOTE_SERVED = r"""
for user = 1, #KEYS / 3 do
  local record, older, served = KEYS[3 * user - 2], KEYS[3 * user - 1], KEYS[3 * user]
  local lineage, list = ARGV[2 * user + 2], ARGV[2 * user + 3]
  if lineage == '' or redis.call('GETRANGE', record, 4, 7) == lineage then
    redis.call('SET', served, list, 'EX', ARGV[1])
    if redis.call('TTL', record) < tonumber(ARGV[3]) then
      redis.call('EXPIRE', record, ARGV[2])
      redis.call('EXPIRE', older, ARGV[2])
    end
  end
end
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
