"""The embedded property: answers as Google's Admin and Data API do, refusals included, out of a SQLite file.

context  the records every handler shares: Call, Answer, Switches, Context
refusals Google's error shape
messages a JSON body -> plain data, as strictly as Google's proto3 JSON reader
checks   the documented constraints on what was read
store    the database; tokens  page tokens; partial  the parameter `fields`
audiences, history, exports  the methods
api      Api.answer(method, path, query, body, headers)
server   the same over HTTP
"""
