#!/usr/bin/env bash
# enter.sh FOLDER NAME: runs init.sh in namespaces of its own, and in a cgroup NAME below ours in each hierarchy.
set -eu
folder=$1 name=$2
: > "$folder/cgroups"
while IFS=: read -r _ controllers path; do
  case $controllers in cpu* | memory | devices | freezer | blkio | pids) ;; *) continue ;; esac
  parent=/sys/fs/cgroup/$controllers${path%/}
  mkdir "$parent/$name"
  if [ -e "$parent/$name/cpuset.cpus" ]; then
    for file in cpuset.cpus cpuset.mems; do cat "$parent/$file" > "$parent/$name/$file"; done
    echo 1 > "$parent/$name/cgroup.clone_children"
  fi
  echo $$ > "$parent/$name/cgroup.procs"
  echo "$parent/$name" >> "$folder/cgroups"
# Read at once: it changes with each turn.
done <<< "$(cat /proc/self/cgroup)"
exec unshare --mount --uts --ipc --net --pid --cgroup --fork --kill-child=KILL --propagation private \
  "$(dirname "$0")/init.sh" "$folder"
