#!/bin/sh
# One shard of a campaign: `shard.sh PLAN.toml FOLDER SHARDS`. The number of the shard is that of an indexed Job.
set -u
plan=$1
shared=$2
shards=$3
ifq=${IFQ:-ifq}
shard=$((JOB_COMPLETION_INDEX + 1))
dir=$shared/$shard-of-$shards

if [ -e "$dir/results.jsonl" ]; then
    "$ifq" campaign resume "$dir"
else
    "$ifq" campaign run "$plan" --out "$dir" --shard "$shard/$shards"
fi
code=$?
# A failure that was found (1) and a search without a verdict (3) are results of a shard that did its work.
case $code in
1 | 3) exit 0 ;;
*) exit "$code" ;;
esac
