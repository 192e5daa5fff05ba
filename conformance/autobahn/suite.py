"""Runs under Python 2 (PyPy): the fuzzing modes of autobahntestsuite, unchanged but for this: it
listens on a free port of 127.0.0.1 only, takes the list of cases from the selection worked out
here, and logs every finished case to a file at once.

suite.py SITE count                                     print the number of cases
suite.py SITE fuzzingclient|fuzzingserver SPEC.json     run them
"""
import json
import re
import site
import socket
import sys
import types
import unittest

SITE, MODE = sys.argv[1:3]
sys.path.insert(0, SITE)
site.addsitedir(SITE)  # for the .pth file of zope.interface

# The suite imports these two whatever it does, and ws:// needs neither.
sys.modules['unittest2'] = unittest
ssl = types.ModuleType('twisted.internet.ssl')
ssl.ClientContextFactory = lambda: None
sys.modules['twisted.internet.ssl'] = ssl
import twisted.internet
twisted.internet.ssl = ssl

from autobahntestsuite import fuzzing
from autobahntestsuite.caseset import CaseSet
from twisted.internet import reactor

case_set = CaseSet(fuzzing.CaseSetname, fuzzing.CaseBasename, fuzzing.Cases,
                   fuzzing.CaseCategories, fuzzing.CaseSubCategories)
ALL = sorted(case_set.CasesIndices, key=case_set.caseIdtoIdTuple)


def matching(patterns):
    """Ids that any pattern matches: an id, a section ('7', '12.1'), or with *."""
    found = set()
    for pattern in patterns:
        regex = re.escape(pattern).replace('\\*', '.*') + ('$' if '*' in pattern else r'(\..*)?$')
        ids = [i for i in ALL if re.match(regex, i)]
        if not ids:
            sys.exit('no case matches %s' % pattern)
        found.update(ids)
    return found


if MODE == 'count':
    print len(ALL)
    sys.exit(0)

spec = json.load(open(sys.argv[3]))
chosen = matching(spec['cases']) - matching(spec['exclude-cases'])
shard, shards = spec['shard']
planned = [i for i in ALL if i in chosen][shard::shards]
CaseSet.parseSpecCases = lambda self, spec: planned

log = open(spec['log'], 'w', 1)
log.write(json.dumps({'planned': planned}) + '\n')
if not planned:
    sys.exit(0)


def text(value):
    return value.decode('utf8', 'replace') if isinstance(value, str) else value


def log_case(self, result, original=fuzzing.FuzzingFactory.logCase):
    original(self, result)
    keys = ('id', 'agent', 'behavior', 'behaviorClose', 'result', 'resultClose',
            'remoteCloseCode', 'duration')
    log.write(json.dumps(dict((k, text(result[k])) for k in keys)) + '\n')


fuzzing.FuzzingFactory.logCase = log_case

if MODE == 'fuzzingclient':
    factory = fuzzing.FuzzingClientFactory(spec)
else:
    # The factory checks the port in Host headers, so it has to know the port when it is made.
    listener = socket.socket()
    listener.setblocking(False)
    listener.bind(('127.0.0.1', 0))
    listener.listen(50)
    spec['url'] = 'ws://127.0.0.1:%d' % listener.getsockname()[1]
    factory = fuzzing.FuzzingServerFactory(spec)
    if spec['behind-tls']:
        factory.externalPort = None  # clients see another one, the tunnel's
    reactor.adoptStreamPort(listener.fileno(), socket.AF_INET, factory)
    # whether or not the client asks for reports
    reactor.addSystemEventTrigger('before', 'shutdown', factory.createReports)
    log.write(json.dumps({'listening': spec['url']}) + '\n')
reactor.run()
