#!/usr/bin/env bash
# Runs a campaign on a Slurm cluster of two nodes on this machine, kills a node in the middle, and compares the merged
# result with that of a run without Slurm. Everything is in a temporary folder, and everything is ended in the end.
#
#     contrib/slurm/try-here.sh target/release/ifq
#
# Needs munge, slurmctld, slurmd and slurm-client (Debian's packages, installed and not started).
set -Eeuo pipefail
ifq=$(realpath "${1:?the path of ifq}")
here=$(cd "$(dirname "$0")" && pwd)
for tool in munged slurmctld slurmd sbatch squeue sinfo; do
    PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null || { echo "not run: $tool is not installed"; exit 77; }
done
PATH=$PATH:/usr/sbin
top=$(mktemp -d)
user=$(id -un)
pids=()
# Kills a node as if it lost its power: the daemon, the running shard, its script, and the process that watches it.
kill_node() {
    local daemon=$1 shard=$2 pid
    local -a found=("$daemon")
    pid=$(pgrep -f "campaign .*$top/shared/$shard-of-4" | head -n 1)
    while [ -n "$pid" ] && [ "$pid" -gt 1 ] && [ "$pid" != "$daemon" ]; do
        found+=("$pid")
        [[ "$(ps -o comm= -p "$pid")" == slurmstepd* ]] && break
        pid=$(ps -o ppid= -p "$pid" | tr -d ' ')
    done
    echo "killed: $(ps -o comm= -p "${found[*]}" | sort | tr '\n' ' ')"
    kill -9 "${found[@]}"
}
stop() {
    local code=$?
    scancel --quiet --full --user "$user" 2>/dev/null || true
    sleep 1
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    sleep 1
    [ "$code" = 0 ] || tail -n 20 "$top"/*.log || true
    rm -rf "$top"
}
trap stop EXIT

mkdir -m 755 "$top/munge" "$top/state"
mkdir -m 755 "$top/spool-one" "$top/spool-two"
chmod 711 "$top"
head -c 1024 /dev/urandom >"$top/munge/key"
chmod 400 "$top/munge/key"
munged --foreground --force --key-file="$top/munge/key" --socket="$top/munge/socket" --pid-file="$top/munge/pid" \
    --log-file="$top/munge/log" --seed-file="$top/munge/seed" >"$top/munged.log" 2>&1 &
pids+=($!)

port=$((20000 + RANDOM % 20000))
host=$(hostname -s)
cat >"$top/slurm.conf" <<END
ClusterName=try
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$top/munge/socket
StateSaveLocation=$top/state
SlurmctldPidFile=$top/slurmctld.pid
SlurmctldLogFile=$top/slurmctld.log
SlurmdSpoolDir=$top/spool-%n
SlurmdPidFile=$top/slurmd-%n.pid
SlurmdLogFile=$top/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
KillWait=2
MessageTimeout=5
SchedulerParameters=sched_interval=2,bf_interval=2,requeue_delay=1
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
NodeName=one NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=1
NodeName=two NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=1
PartitionName=all Nodes=one,two Default=YES MaxTime=INFINITE State=UP
END
printf 'CgroupPlugin=autodetect\n' >"$top/cgroup.conf"
export SLURM_CONF=$top/slurm.conf
for _ in $(seq 50); do [ -S "$top/munge/socket" ] && break; sleep 0.1; done
slurmctld -D -f "$SLURM_CONF" >"$top/slurmctld.out.log" 2>&1 &
pids+=($!)
slurmd -D -N one -f "$SLURM_CONF" >"$top/slurmd-one.out.log" 2>&1 &
pids+=($!)
slurmd -D -N two -f "$SLURM_CONF" >"$top/slurmd-two.out.log" 2>&1 &
two=$!
pids+=("$two")
for _ in $(seq 60); do
    [ "$(sinfo --noheader --format=%t --nodes=one,two 2>/dev/null | sort -u)" = idle ] && break
    sleep 0.5
done
sinfo --Node --long

cd "$top"
cat >plan.toml <<'END'
name = "two nodes"
[[sim]]
profile = "smoke"
runs = 4000
[[sim]]
profile = "smoke"
defects = ["early-put"]
runs = 64
per_unit = 4
END
mkdir shared
export IFQ=$ifq
job=$(sbatch --parsable --array=1-4 --output="$top/shared/%a.log" "$here/campaign.sbatch" "$top/plan.toml" "$top/shared")
echo "job array $job"
lines() { cat "$top"/shared/*-of-4/results.jsonl 2>/dev/null | wc -l; }
for _ in $(seq 600); do [ "$(lines)" -gt 24 ] && break; sleep 0.1; done
squeue --array
on_two=$(squeue --noheader --array --nodelist=two --states=running --format=%K)
echo "node two runs shard ${on_two:?no task runs on node two}; $(lines) records are stored; the node is killed"
kill_node "$two" "$on_two"
for _ in $(seq 240); do
    [ -z "$(squeue --noheader)" ] && break
    sleep 1
    [ "$(squeue --noheader --states=pending --format=%r | head -n 1)" = "BeginTime" ] &&
        scontrol update JobId="$job" StartTime=now 2>/dev/null || true
done
sinfo --Node --long
cat shared/*.log
code=0
"$ifq" campaign merge merged shared/*-of-4 >merged.txt || code=$?
"$ifq" campaign run plan.toml --out single >single.txt || true
echo "exit code of merge: $code"
for name in merged single; do
    "$ifq" campaign status "$name" --json >"$name.json" || true
    "$ifq" campaign report "$name" --html "$name.html" --junit "$name.xml" >/dev/null || true
done
for kind in json html xml; do cmp "merged.$kind" "single.$kind"; done
diff -r merged/failures single/failures
cat merged.txt
echo "the merged result of 4 shards on two nodes, one of which was killed, is that of one machine"
