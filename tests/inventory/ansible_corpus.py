# ruff: noqa: E501 - each inventory is one text
"""Inventories as people write them for Ansible: folders as mappings of paths to texts; `hosts` (or the folder) is the source.

Written by hand for each rule of the formats, then generated from seeds.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TypeAlias

Files: TypeAlias = Mapping[str, str]

WRITTEN: Mapping[str, Files] = {
    "one host": {"hosts": "web1\n"},
    "comments and blanks": {"hosts": "# c\n; c\n\n  web1  # tail\nweb2 a=1 # b=2\n"},
    "groups": {"hosts": "lone\n[web]\nweb1\nweb2\n[db]\ndb1\nweb1\n"},
    "children and variables": {
        "hosts": "[a]\nh1 x=host\nh2\n[b:children]\na\n[b:vars]\nx=b\ny=b\n[a:vars]\nx=a\n[all:vars]\nz=all\nx=all\n"
    },
    "a child declared later": {"hosts": "[p:children]\nc\nd\n[c]\nh1\n[d:children]\nc\n"},
    "variables before the group": {"hosts": "[g:vars]\nx=1\n[g]\nh1\n"},
    "ranges": {"hosts": "[web]\nweb[01:05]\nn[1:9:3].x\nr[a:c]-[1:2]\nq[:2]\n"},
    "ports": {"hosts": "h1:2222\nh2:22 ansible_port=33\n[2001:db8::1]:2200\n2001:db8::2\nh[1:2]x:99\n[g]\nh1:44\n"},
    "literals": {
        "hosts": "h1 a=5 b=True c=true d=1.5 e=None f=\"[1, 'x']\" g=\"{'k': 1}\" i=010 j=0x10 k='\"q\"' l=1_000 m=()\n"
        "[all:vars]\nlist=[1, 2, {'a': 'b'}]\ntext=hello world # no comment here\nempty=\nq='quoted'\nt=(1, 2)\n"
    },
    "quotes on a host line": {"hosts": "h1 a='x y' b=\"p=q\" c=it\\'s d=a\\\\b e=\"a 'b' c\"\n"},
    "more than one equals sign": {"hosts": "h1 args='-o A=b -o C=d'\n[all:vars]\nx=a=b=c\n"},
    "later lines add variables": {"hosts": "h1 a=1 b=1\n[g]\nh1 b=2 c=2\n"},
    "ungrouped and grouped": {"hosts": "h1\nh2\n[ungrouped]\nh3\n[g]\nh2\n"},
    "all as a section": {"hosts": "[all]\nh1\nh2\n[g]\nh1\n"},
    "all:children": {"hosts": "[all:children]\ng\n[g]\nh1\n"},
    "depth decides": {"hosts": "[z]\nh1\n[m:children]\nz\n[a:children]\nm\n[z:vars]\nv=z\n[m:vars]\nv=m\n[a:vars]\nv=a\n"},
    "the name decides at one depth": {"hosts": "[b]\nh1\n[a]\nh1\n[a:vars]\nv=a\n[b:vars]\nv=b\n"},
    "priority decides before the name": {
        "hosts": "[b]\nh1\n[a]\nh1\n[a:vars]\nv=a\nansible_group_priority=10\n[b:vars]\nv=b\n"
    },
    "depth decides before priority": {
        "hosts": "[c]\nh1\n[p:children]\nc\n[p:vars]\nv=p\nansible_group_priority=50\n[c:vars]\nv=c\n"
    },
    "a diamond": {"hosts": "[l]\nh1\n[x:children]\nl\n[y:children]\nl\n[t:children]\nx\ny\n[x:vars]\nv=x\n[y:vars]\nv=y\n"},
    "names with dashes and dots": {"hosts": "[web-front.eu]\nh1\n[web-front.eu:vars]\nv=1\n"},
    "group_vars of every kind": {
        "hosts": "[web]\nh1 own=line\n[db]\nh2\n[all:vars]\na=ini\nb=ini\n[web:vars]\nb=iniweb\nc=ini\n",
        "group_vars/all.yml": "a: file\nb: file\nown: all\n",
        "group_vars/web.yaml": "b: fileweb\nown: group\n",
        "group_vars/db/10.yml": "x: first\ny: first\n",
        "group_vars/db/20.yml": "y: second\n",
        "group_vars/db/.hidden.yml": "y: hidden\n",
        "group_vars/db/notes.txt": "not: read\n",
        "group_vars/db/deeper/30": "z: deep\n",
        "host_vars/h1.json": '{"own": "file", "n": [1, 2]}',
        "host_vars/h2": "k: v\n",
    },
    "a folder before a file": {"hosts": "[g]\nh1\n", "group_vars/g/a.yml": "v: folder\n", "group_vars/g.yml": "v: file\n"},
    "group_vars of ungrouped": {"hosts": "h1\n", "group_vars/ungrouped.yml": "v: 1\n"},
    "empty variable files": {"hosts": "h1\n", "group_vars/all.yml": "", "host_vars/h1.yml": "---\n"},
    "mappings replace each other": {
        "hosts": "[g]\nh1\n",
        "group_vars/all.yml": "m: {a: 1, b: 2}\n",
        "group_vars/g.yml": "m: {b: 3}\n",
    },
    "yaml": {
        "hosts.yml": "all:\n  hosts:\n    h1: {x: 1}\n    h2:\n  children:\n    web:\n      hosts: {h1: {y: 2}, 'w[1:3]': {z: 3}}\n"
        "      vars: {v: web}\n    db: {}\n  vars: {a: all}\n"
    },
    "yaml without all": {"hosts.yaml": "web:\n  hosts:\n    h1:\n  children:\n    inner:\n      hosts:\n        h2:\ndb:\n"},
    "yaml 1.1": {
        "hosts.yml": "all:\n  hosts:\n    h1: {a: yes, b: No, c: 010, d: 22:22, e: 0x1F, f: 1_000, g: 1.5, h: 1e3, i: ~, j: ON}\n"
        "    h2: {a: '010', b: \"yes\", c: 0b11, d: -5, e: +5, f: 1., g: .5, h: 190:20:30, i: 1.5e+3, k: n}\n"
    },
    "anchors and merge keys": {
        "hosts.yml": "all:\n  vars:\n    base: &b {a: 1, b: 2}\n    x: {<<: *b, b: 3}\n    y: {<<: [{c: 9, a: 0}, *b]}\n    l: [*b]\n"
        "  hosts: {h1: }\n"
    },
    "equal keys": {"hosts.yml": "all:\n  hosts: {h1: {a: 1, a: 2}}\n  vars: {b: 1}\n  vars: {c: 2}\n"},
    "block texts": {
        "hosts.yml": "all:\n  hosts:\n    h1:\n      a: |\n        two\n        lines\n      b: >\n        one\n        line\n"
    },
    "tags for text": {"hosts.yml": "all:\n  hosts: {h1: {a: !unsafe '{{ x }}', b: !!str 5}}\n"},
    "tags of the core": {
        "hosts.yml": "all:\n  hosts:\n    h1:\n      ints: [!!int '5', !!int 0x1F, !!int 1_000, !!int 1:30, !!int ' 7 ', !!int -010]\n"
        "      floats: [!!float 1, !!float 1e3, !!float '5_0', !!float 1:30, !!float -190:20:30.15]\n"
        "      bools: [!!bool yes, !!bool 'Off', !!bool TRUE]\n      nulls: [!!null x, !!null '']\n"
        "      texts: [!!str yes, !!str 5, !!timestamp 2020-01-01, !!python/unicode 'x']\n"
        "      unsafe: [!unsafe 5, !unsafe '5', !unsafe yes, !unsafe '', !unsafe x, ! 5]\n"
        "      kinds: [!!seq [1], !!map {a: 1}, !unsafe {a: 1}, !unsafe [1], !!python/dict {b: 2}]\n"
        "      sets: [!!set {x}, !!set {1: , 0x1: }, !!set {'1'}, !!set {}]\n      !!str 5: {!!int 7: 1}\n"
    },
    "merge keys in sets": {
        "hosts.yml": "all:\n  vars:\n    base: &m {a: 1}\n    taken: &s !!set {p}\n    alone: !!set {<<: *m}\n"
        "    item: !!set {'<<'}\n    of_a_set: !!set {<<: *s}\n    not_a_merge: {'<<': {a: 1}, b: 2}\n"
        "    both: {<<: {a: 1, c: 1}, <<: {b: 2, c: 2}}\n    a_set_merged: {<<: *s, q: 1}\n    one: !!set {<<: {1: }, 0x1: }\n"
    },
    "ini that is called yaml": {"hosts.yml": "[web]\nweb1 a=1\n[web:vars]\nb=yes\n", "group_vars/web.yml": "c: 3\n"},
    "ini that is called json": {"hosts.json": "h1 a=1\n"},
    "names that are called yaml": {"hosts.yaml": "# two\nh1\nh2:22\n"},
    "ini that is called yaml, of groups in another file": {"01": "[db]\nh1\n", "02.yml": "h2\n[db:vars]\nx=1\n"},
    "nothing that is called yaml": {"hosts.yml": ""},
    "texts instead of mappings": {"hosts.yml": "all:\n  children: web\n  hosts: h1\n"},
    "keys that mean nothing": {"hosts.yml": "all:\n  hosts: {h1: }\n  nonsense: {a: 1}\n  other: 5\n"},
    "templates stay templates": {"hosts": "h1 a='{{ b }}'\n", "group_vars/all.yml": "c: '{{ d | default(1) }}'\n"},
    "json as yaml": {
        "hosts.json": '{"all": {"hosts": {"h1": {"a": [1, 2.5, true, null]}}, "children": {"g": {"hosts": {"h1": {}}}}}}'
    },
    "a folder of sources": {
        "01-ini": "[web]\nh1 a=1\n",
        "02.yml": "web: {hosts: {h2: {a: 2}}}\ndb: {hosts: {h1: {b: 1}}}\n",
        "03.ini": "[db:vars]\nv=ini\n[db]\n",
        "notes.md": "not read\n",
        "old.bak": "[x]\nnot-read\n",
        ".hidden": "not-read\n",
        "group_vars/db.yml": "v: file\n",
        "deeper/hosts": "[web]\nh3\n",
    },
    "a folder whose later source overrides": {"a": "h1 v=a\n[g:vars]\nx=a\n[g]\nh1\n", "b": "h1 v=b\n[g:vars]\nx=b\n[g]\n"},
    "a program": {
        "list.sh": "#!/bin/sh\ncat <<'END'\n"
        '{"web": {"hosts": ["h1", "h2"], "vars": {"v": 1}, "children": ["inner"]}, "inner": {"hosts": ["h3"]},'
        ' "_meta": {"hostvars": {"h1": {"a": [1, {"b": null}]}, "stranger": {"x": 1}}}}\nEND\n'
    },
    "a program beside files": {
        "a.ini": "[web]\nh0\n",
        "b.sh": '#!/bin/sh\necho \'{"web": {"hosts": ["h1"], "vars": {"v": 1}}, "_meta": {"hostvars": {}}}\'\n',
        "group_vars/web.yml": "w: 2\n",
    },
    "other languages": {"hosts": "h1 city='Санкт-Петербург'\n[группа]\nh1\n[группа:vars]\nx=Ж\n"},
    "windows line ends": {"hosts": "[web]\r\nh1 a=1\r\n[web:vars]\r\nb=2\r\n"},
}


def generated(seed: int) -> Files:
    """Return an inventory made from a seed: groups that nest without cycles, variables everywhere, INI or YAML."""
    dice = random.Random(seed)
    groups = [f"g{number:02}" for number in dice.sample(range(40), dice.randint(2, 9))]
    hosts = [f"h{number}" for number in range(dice.randint(1, 12))]
    names = ["a", "b", "c", "d"]
    values = ["1", "yes", "[1, 2]", "text", "0o7", "1.5", "'q'", "True", "x y"]
    children = {
        name: [inner for inner in groups[position + 1 :] if dice.random() < 0.35] for position, name in enumerate(groups)
    }
    members = {name: [host for host in hosts if dice.random() < 0.4] for name in groups}
    files: dict[str, str] = {}
    for name in (*groups, "all"):
        if dice.random() < 0.4:
            files[f"group_vars/{name}.yml"] = "".join(f"{key}: {dice.choice(values)}\n" for key in dice.sample(names, 2))
    for host in hosts:
        if dice.random() < 0.3:
            files[f"host_vars/{host}.yml"] = f"{dice.choice(names)}: {host}\n"
    lines = [f"{host} {dice.choice(names)}={dice.choice(['1', 'True', 'x', '010'])}" for host in hosts if dice.random() < 0.6]
    lines += [host for host in hosts if dice.random() < 0.3]
    sections = []
    for name in groups:
        sections.append([f"[{name}]", *members[name]])
        if children[name]:
            sections.append([f"[{name}:children]", *children[name]])
        if dice.random() < 0.6:
            priority = [f"ansible_group_priority={dice.randint(1, 9)}"] if dice.random() < 0.3 else []
            sections.append([f"[{name}:vars]", *(f"{key}={dice.choice(values)}" for key in dice.sample(names, 2)), *priority])
    dice.shuffle(sections)
    files["hosts"] = "\n".join([*lines, *(line for section in sections for line in section)]) + "\n"
    return files
