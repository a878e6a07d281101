#!/bin/sh
# Where what the host knows of detached commands is kept, who may touch it now, and the fence. Part of start.sh, collect.sh and
# forget.sh, behind ../bundle/processes.sh. Nobody else's words are ever run: what lies there is read, and compared.
#
# A place is a folder of ours alone. It holds `fence` and, for each command that is not forgotten, a folder `c-ID`:
#   claim    TOKEN BOOT MOST TAIL, these two of stdout: bytes that are kept in all, and as its end where it was too much
#   sup, cmd pid and start time of the supervisor and of the command's shell
#   begun    `go`: made by the supervisor before the command begins; `void`: by who found that it never would
#   out, err what it said, and *.tail the end of what was too much
#   rc       how it ended, whole or not there; rc.new keeps the room for it free
# fence: `longarm-fence/1 TOKEN`, the highest that was seen; the last commands: ID TOKEN BOOT STATE REASON STATUS; and, if it had
# to make room for these, `dropped UPTIME BOOT`: when it did so last
# shellcheck disable=SC2154,SC2034  # variables of the scripts around
# shellcheck disable=SC2086  # lines are split into words on purpose
# shellcheck disable=SC2317  # functions are called by the scripts around

nl='
'
la_proc='' flock='' uid='' node='' named='' boot='-' up=0
[ ! -r "/proc/$$/stat" ] || la_proc=1
if [ "$la_proc" ]; then
	la_status "$$" Uid: && uid=$la_uid
	read -r boot </proc/sys/kernel/random/boot_id || boot='-'
	read -r up x </proc/uptime && up=${up%.*}
fi 2>/dev/null
[ "$uid" ] || uid=$(id -u)
# A home may be that of several hosts. A hostname changes, and with it where we look; what is told of the machine's id is not all
# of it (machine-id(5)).
{
	read -r named </proc/sys/kernel/hostname
	read -r node </etc/machine-id
	case $node in
	'' | *[!a-f0-9]*) node=$named ;;
	*) node=${node%"${node#????????????}"} ;;
	esac
} 2>/dev/null
case $named in '' | *[!A-Za-z0-9._-]*) named=host ;; esac
case $node in '' | *[!A-Za-z0-9._-]*) node=host ;; esac
case $boot in '' | *[!a-f0-9-]*) boot='-' ;; esac
! command -v flock >/dev/null || flock=1
case $uid in
0) place1=/var/lib/longarm place2=~root/.longarm-$node place3=/run/longarm place4=~root/.longarm-$named ;;
*) place1=${HOME:-/nowhere}/.longarm-$node place2=/var/tmp/longarm-$uid place3=/tmp/longarm-$uid place4=${HOME:-/nowhere}/.longarm-$named ;;
esac
# The last one is of a release that named it after the host: what it knows counts, and nothing new comes there.
[ "$node" != "$named" ] || place4=/nowhere/longarm

sure=''

# Goes to a place, by its number, if it is a folder of ours alone, in a folder where nobody else can put another in its place.
# That no link led there is seen from where we are by then, by inode: whatever is looked at before may be swapped meanwhile.
enter() {
	eval "place=\$place$1"
	case $sure in *"$1"*) cd "$place" && return ;; esac
	# shellcheck disable=SC3013 # dash, bash and ash have it
	[ -d "$place" ] && cd "$place" && [ .. -ef "${place%/*}/" ] || return
	which=$1
	# shellcheck disable=SC2046,SC2012 # its fields; the only name that could hold a blank is the last
	set -- $(LC_ALL=C ls -ldin . .. "$place")
	case $2:$4:${12} in
	drwx--[-S]---*:"$uid":d???????[!w]* | drwx--[-S]---*:"$uid":d????????[tT]*) ;;
	*) return 1 ;;
	esac
	[ "$1" = "${21}" ] || return
	[ "${14}" = 0 ] || [ "${14}" = "$uid" ] || return
	sure=$sure$which
} 2>/dev/null

# Whether what lies at the place is ours, and no link.
ours() {
	[ -e "$place" ] || return
	# shellcheck disable=SC2046,SC2012 # its fields, which hold no names but these two
	set -- $(LC_ALL=C ls -ldn "$place")
	case $1:$3 in l*) false ;; *:"$uid") ;; *) false ;; esac
} 2>/dev/null

# Holds the place we are in, by the descriptor given, until this shell ends or lets go. Where there is no flock: by a link that
# names a living process, which only one can make, also where there is no room for a file; only one at a time may take away that
# of a dead one. Where nobody can make a link nobody has one: then whoever could later finds every place made by then.
hold() {
	if [ "$flock" ]; then
		eval "exec $1<." && flock "$1"
		return
	fi
	here=$PWD
	la_self
	cd "$here" && la_stat "$la_me" || return
	until ln -s -- "$boot $la_me $la_start" lock; do
		if [ ! -L lock ] && [ ! -e lock ]; then
			rm -f "lock.$la_me"
			ln -s . "lock.$la_me" || return 0
			rm -f "lock.$la_me"
			continue
		fi
		if abandoned && ln -s . "break.$boot"; then
			! abandoned || rm -f lock
			rm -f "break.$boot"
		fi
		sleep 1
	done
	linked=$linked$1
} 2>/dev/null
linked=''

# Whether whoever made the link, or the file that it was in longarm 0.1, is gone.
abandoned() {
	{ x=$(readlink lock) || read -r x <lock; } && ! lives $x
} 2>/dev/null

# BOOT PID START: whether that process is there.
lives() {
	[ "$1" = "$boot" ] && la_stat "$2" && [ "$la_start" = "$3" ] && case $la_state in Z | X) false ;; esac
} 2>/dev/null

# Holds every place that there is, in order; again where one has come meanwhile, since whoever made it may hold that one alone.
# held: their numbers.
hold_all() {
	rounds=0
	while [ "$rounds" -lt 9 ]; do
		held='' missed=''
		for n in 1 2 3 4; do
			! enter "$n" || { hold "$((n + 3))" && held=$held$n; }
		done
		for n in 1 2 3 4; do
			case $held in *"$n"*) ;; *) ! enter "$n" || missed=1 ;; esac
		done
		[ "$missed" ] || return 0
		let_go
		rounds=$((rounds + 1))
	done
	return 1
}

let_go() {
	if [ "$flock" ]; then
		exec 4<&- 5<&- 6<&- 7<&-
	else
		for n in 1 2 3 4; do
			case $linked in *"$((n + 3))"*) enter "$n" && rm -f lock ;; esac
		done
	fi
	held='' linked=''
}

# What the fences say, all of them: seen, the highest token; the lines of each, apart; dropped, the uptime when one of them last
# lost a line. Fails where one cannot be read (why), or could be another's by now.
recall() {
	seen=0 dropped=0 lines1='' lines2='' lines3='' lines4='' noted=''
	for n in 1 2 3 4; do
		if ! enter "$n"; then
			why="$place: open to others"
			! ours || return
			continue
		fi
		[ -e fence ] || continue
		why="$place/fence: cannot be read"
		[ -f fence ] && [ ! -L fence ] || return
		{
			read -r x y z || return
			case $x:$y:$z in longarm-fence/1:*[!0-9]*: | longarm-fence/1::*) return 1 ;; longarm-fence/1:*:) ;; *) return 1 ;; esac
			[ "$y" -le "$seen" ] || seen=$y
			while read -r x; do
				case $x in
				'dropped '*) lost ${x#* } ;;
				*) eval "lines$n=\$lines$n\$x\$nl" ;;
				esac
			done
		} <fence
	done
	why=''
}

# UPTIME BOOT: when a fence lost a line; what was before this boot concerns nobody who was sent since.
lost() {
	[ "$2" = "$boot" ] || return
	case $1 in '' | *[!0-9]*) dropped=$up ;; *) [ "$1" -le "$dropped" ] || dropped=$1 ;; esac
}

# The line of a command. Each place may have one, in no order that says which is newer: how it ended is, its claim is not.
line_of() {
	line='' left=$nl$lines1$lines2$lines3$lines4$noted
	while case $left in *"$nl$1 "*) ;; *) false ;; esac; do
		left=${left#*"$nl$1 "}
		case $line in '' | *' claimed '*) line=${left%%"$nl"*} ;; esac
	done
	[ "$line" ]
}

# note ID REST: a new line for it, kept by whichever place takes it.
note() {
	noted="$noted$1 $2$nl"
}

# Puts the fence into the place we are in, the n-th, on disk before anything that follows from it: its own lines, or those of
# another would drive them out, and the new ones. Only the last 24 are kept, and a fence is never longer than 4 KiB.
keep() {
	eval "left=\$lines$n"
	own=''
	while [ "$left" ]; do
		x=${left%%"$nl"*} left=${left#*"$nl"}
		case $nl$noted in *"$nl${x%% *} "*) ;; *) own=$own$x$nl ;; esac
	done
	own=$own$noted
	x=$own count=0
	while [ "$x" ]; do x=${x#*"$nl"} count=$((count + 1)); done
	while [ "$count" -gt 24 ]; do own=${own#*"$nl"} count=$((count - 1)) dropped=$up; done
	[ "$dropped" -eq 0 ] || own="${own}dropped $dropped $boot$nl"
	if printf 'longarm-fence/1 %s\n%s' "$seen" "$own" | dd of=fence.new conv=fsync && mv -f fence.new fence; then return; fi
	rm -f fence.new
	return 1
} 2>/dev/null

# Keeps it in the first place that takes it.
keep_somewhere() {
	for n in 1 2 3; do
		case $held in
		*"$n"*) enter "$n" && keep && return ;;
		*) ! made "$n" || return ;;
		esac
	done
	return 1
}

# Makes the n-th place, which has to be held first then, as by all others (again); also, once, where another has just made it
# (raced). Else adds to why.
made() {
	eval "place=\$place$1"
	if mkdir "$place"; then
		enter "$1" && again=1 && return
		rmdir "$place"
		why="$why, $place: others may put something else in its place"
	elif case $raced in *"$1"*) false ;; esac && enter "$1"; then
		raced=$raced$1 again=1
		return
	elif [ -e "$place" ] || [ -L "$place" ]; then
		why="$why, $place: not a folder of ours alone"
	else
		why="$why, $place: cannot be made"
	fi
	return 1
} 2>/dev/null
again='' raced=''

# Looks for the folder of a command, and goes to its place.
seek() {
	for n in 1 2 3 4; do
		enter "$n" && [ -d "c-$1" ] && return
	done
	return 1
}

# How a command stands that only the fence knows.
remembered() {
	line_of "$1" || return
	# shellcheck disable=SC2086 # its words
	set -- $line
	reason=$4 status=$5 ms=0 cuts='0 0' pids='' place=-
	case $3 in
	claimed) state=unknown reason=gone status=- ;;
	*) state=$3 ;;
	esac
}

# Whether the fence knows how a command ended: then what may still be there of its folder says nothing any more.
over() {
	line_of "$1" && case $line in *' claimed '*) false ;; esac
}

# Notes how a command ended, and that its folder can go (gone). Not of one that runs.
retire() {
	seek "$1" || return
	over "$1" || {
		settle "$1"
		[ "$state" != running ] || return
		note "$1" "${token_then:-0} ${claimed:-$boot} $state $reason $status"
	}
	gone="$gone $n/$1"
}
gone=''

# NUMBER/ID…: removes folders of commands whose ends are in the fence.
remove() {
	for x; do
		enter "${x%%/*}" && rm -rf "c-${x#*/}"
	done
} 2>/dev/null

# How the command stands whose folder is here: state, reason, status, ms, cuts, pids.
judge() {
	state=unknown reason=gone status=- ms=0 cuts='0 0' pids='' x='' in='' claimed='' most=0 tail=0
	read -r token_then claimed most tail x <"c-$1/claim"
	read -r x <"c-$1/rc" && case $x in
	'done '*' .' | 'late '*' .')
		set -- "$1" ${x% .}
		state=$2 reason=- status=$3 ms=$4 cuts="$5 $6"
		shift 6
		pids=$*
		[ "$state" = 'done' ] || state=failed reason=late status=-
		return
		;;
	esac
	read -r in <"c-$1/begun"
	[ "$claimed" ] || { line_of "$1" && claimed=${line#* } && claimed=${claimed%% *}; }
	if [ "$in" = void ]; then
		state=failed reason=not_begun
	elif [ "$claimed" ] && [ "$claimed" != "$boot" ]; then
		reason=rebooted
		[ ! -e "c-$1/begun" ] || state=interrupted
	elif runs "$1"; then
		state=running reason=-
	elif [ -e "c-$1/rc" ] && [ -z "$twice" ]; then
		twice=1
		judge "$1" # it ended between our looking at one and the other
		twice=''
	elif [ -e "c-$1/begun" ]; then
		state=interrupted reason=killed
		marked "$1"
	else
		state=failed reason=not_begun
	fi
} 2>/dev/null
twice=''

# Whether the supervisor of a command is there, or what it was to look after.
runs() {
	y='' z=''
	if [ "$flock" ]; then
		flock -n -s "c-$1" true
		[ $? -ne 1 ] || return 0
	else
		read -r y z <"c-$1/sup" && lives "$boot" "$y" "$z" && return
	fi
	read -r y z <"c-$1/cmd" && lives "$boot" "$y" "$z"
} 2>/dev/null

# pids: who carries the mark of a command, which its supervisor no longer looks after. Without -z, which not everyone has, the grep
# of busybox sees nothing behind the first NUL.
marked() {
	# shellcheck disable=SC2013 # names without blanks
	for x in $(grep -lzF "LONGARM_Q=$1.0." /proc/[0-9]*/environ || grep -lF "LONGARM_Q=$1.0." /proc/[0-9]*/environ); do
		x=${x#/proc/} x=${x%/environ}
		case " $pids " in *" $x "*) ;; *) pids="$pids $x" ;; esac
	done
} 2>/dev/null

# How the command stands whose folder is here, for good if it never began.
settle() {
	judge "$1"
	[ "$reason" != not_begun ] || void "$1" || judge "$1"
}

# Makes sure that a command which never began never will; fails where it has begun after all.
void() {
	set -C
	printf 'void\n' >"c-$1/begun"
	x=$?
	set +C
	return "$x"
} 2>/dev/null
