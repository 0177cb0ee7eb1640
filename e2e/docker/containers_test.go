//go:build e2e && linux

package docker_test

// containers are journeys with one container or a few.
var containers = []journey{
	{"foreground", `docker run --rm $I echo hello`, "hello", true},
	{"exit codes", `
		docker run --rm $I sh -c 'exit 7' || echo $?
		docker run --rm $I sh -c 'sh -c "kill -9 \$\$"; exit $?' || echo $?
		docker run --rm $I /no/such 2>/dev/null || echo $?
		docker run --rm --no-such $I true 2>/dev/null || echo $?`, "7\n137\n127\n125", true},
	{"streams", `echo in | docker run --rm -i $I sh -c 'cat; echo err >&2' 2>err; cat err`, "in\nerr", true},
	{"large streams", `
		head -c 30000000 /dev/zero | docker run --rm -i $I sha256sum | cut -c 1-8
		docker run --rm $I head -c 30000000 /dev/zero | sha256sum | cut -c 1-8`, "5cea420a\n5cea420a", false},
	{"detached", `
		docker run -d --name $N $I sleep 1000 >id
		docker ps --no-trunc --filter name=$N --format '{{.ID}} {{.Names}} {{.State}}' | sed "s/^$(cat id)/ID/"
		docker rm -f $N
		docker ps -aq --filter name=$N`, "ID jdetached running\njdetached", true},
	{"removed at the end", `
		docker run -d --rm --name $N -v /data $I true >/dev/null
		docker wait $N >/dev/null 2>&1 || true
		for i in $(seq 100); do [ -n "$(docker ps -aq --filter name=$N)" ] || break; done
		docker ps -aq --filter name=$N`, "", false},
	{"logs followed", `
		docker run -d --name $N $I sh -c 'for i in 1 2 3; do echo line $i; sleep 0.3; done; echo last >&2' >/dev/null
		docker logs -f $N 2>&1
		docker logs --tail 1 $N 2>&1
		docker logs -t $N 2>/dev/null | head -n 1 | grep -c '^20..-..-..T.*Z line 1'`, "line 1\nline 2\nline 3\nlast\nlast\n1", true},
	{"attach", `
		docker create --name $N -i $I sh -c 'read a; echo got $a; exit 3' >/dev/null
		echo word | docker start -ai $N || echo $?
		docker run -d --name $N-2 $I sh -c 'sleep 1; echo late; exit 4' >/dev/null
		docker attach $N-2 || echo $?`, "got word\n3\nlate\n4", false},
	{"exec", `
		docker run -d --name $N $I sleep 1000 >/dev/null
		docker exec -e A=b -w /tmp $N sh -c 'echo $A $PWD'
		echo in | docker exec -i $N cat
		docker exec $N sh -c 'exit 5' || echo $?
		docker exec -d $N sh -c 'echo done >/tmp/done'
		for i in $(seq 50); do docker exec $N cat /tmp/done 2>/dev/null && break; done
		docker exec -u 1234 $N id -u`, "b /tmp\nin\n5\ndone\n1234", true},
	{"variables", `
		printf 'A=a b\nB=#c\n' >env
		D=from docker run --rm --env-file env -e C="two
lines" -e D $I sh -c 'echo "$A|$B|$C|$D"'`, "a b|#c|two\nlines|from", false},
	{"copying", `
		docker run -d --name $N $I sleep 1000 >/dev/null
		mkdir -p d/e; echo file >d/e/f; chmod 640 d/e/f
		docker cp d $N:/tmp/in 2>/dev/null
		docker exec $N sh -c 'cat /tmp/in/e/f; stat -c %a /tmp/in/e/f'
		docker cp $N:/tmp/in/e/f out 2>/dev/null; cat out
		tar c -C d e | docker cp - $N:/tmp 2>/dev/null; docker exec $N cat /tmp/e/f
		docker stop -t 0 $N >/dev/null
		docker cp $N:/tmp/e - | tar t`, "file\n640\nfile\nfile\ne/\ne/f", true},
	{"commit and diff", `
		docker run --name $N $I sh -c 'echo new >/new; rm /etc/passwd'
		docker diff $N | sort
		docker commit -c 'CMD ["cat","/new"]' $N $N:made >/dev/null
		docker run --rm $N:made
		docker rmi $N:made >/dev/null`, "A /new\nC /etc\nD /etc/passwd\nnew", true},
	{
		"events", `
		since=$(date +%s)
		docker run --rm --name $N $I true
		docker events --since $since --until $(($(date +%s) + 1)) --filter container=$N --filter event=create --filter event=start --filter event=die --filter event=destroy --format '{{.Action}}'`,
		"create\nstart\ndie\ndestroy", false,
	},
	{"stats and top", `
		docker run -d --name $N $I sleep 1000 >/dev/null
		docker stats --no-stream --format '{{.Name}} {{.PIDs}}' $N
		docker top $N -eo pid,args | tail -n 1 | grep -o 'sleep 1000'`, "jstatsandtop 1\nsleep 1000", false},
	{"inspect", `
		docker run -d --name $N --hostname hosty --label a=b $I sleep 1000 >/dev/null
		docker inspect -f '{{.Name}} {{.Config.Hostname}} {{.Config.Labels.a}} {{.State.Status}} {{.Path}} {{.Args}}' $N
		docker ps -q --filter label=a=b | wc -l
		docker exec $N hostname`, "/jinspect hosty b running sleep [1000]\n1\nhosty", false},
	{"renamed", `
		docker run -d --name $N $I sleep 1000 >/dev/null
		docker rename $N $N-new
		docker ps --filter name=$N --format '{{.Names}}'
		docker run --name $N-new $I true 2>&1 | grep -o 'is already in use by container' | head -n 1`, "jrenamed-new\nis already in use by container", false},
	{"paused", `
		docker run -d --name $N $I sleep 1000 >/dev/null
		docker pause $N; docker inspect -f '{{.State.Status}}' $N
		docker unpause $N; docker inspect -f '{{.State.Status}}' $N`, "jpaused\npaused\njpaused\nrunning", false},
	{"stopped by a signal", `
		docker run -d --name $N $I sh -c 'trap "echo term; exit 9" TERM; trap "echo usr1" USR1; echo ready; while :; do sleep 0.1; done' >/dev/null
		until docker logs $N | grep -q ready; do :; done
		docker kill -s USR1 $N >/dev/null
		until docker logs $N | grep -q usr1; do :; done
		docker stop $N >/dev/null
		docker logs $N; docker inspect -f '{{.State.ExitCode}}' $N`, "ready\nusr1\nterm\n9", false},
	{"started again", `
		docker run --name $N $I sh -c 'echo run >>/count; wc -l </count'
		docker start -a $N
		docker restart -t 0 $N >/dev/null; docker wait $N
		docker logs $N`, "1\n2\n0\n1\n2\n3", false},
	{"restart policies", `
		docker run -d --name $N --restart on-failure:2 $I sh -c 'exit 6' >/dev/null
		until [ "$(docker inspect -f '{{.State.Status}} {{.RestartCount}}' $N)" = 'exited 2' ]; do :; done
		docker inspect -f '{{.RestartCount}} {{.State.ExitCode}}' $N
		docker run -d --name $N-always --restart always $I sleep 1000 >/dev/null
		kill -9 $(docker inspect -f '{{.State.Pid}}' $N-always)
		until [ "$(docker inspect -f '{{.State.Running}} {{.RestartCount}}' $N-always)" = 'true 1' ]; do :; done
		docker update --restart no $N-always >/dev/null
		docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' $N-always`, "2 6\nno", false},
	{"health", `
		docker run -d --name $N --health-cmd 'test -e /ok' --health-interval 200ms --health-retries 1 $I sleep 1000 >/dev/null
		until [ "$(docker inspect -f '{{.State.Health.Status}}' $N)" = unhealthy ]; do :; done
		docker exec $N touch /ok
		until [ "$(docker inspect -f '{{.State.Health.Status}}' $N)" = healthy ]; do :; done
		docker ps --filter health=healthy --filter name=$N --format '{{.Names}}'`, "jhealth", false},
	{"limits", `
		docker run -d --name $N -m 64m --cpus 0.5 --pids-limit 50 --ulimit nofile=100 $I sleep 1000 >/dev/null
		docker exec $N sh -c 'ulimit -n; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true'
		docker inspect -f '{{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}' $N`, "100\n67108864\n500000000 50", false},
	{"rights", `
		docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges -u 1:2 $I sh -c 'id -u; id -g; touch /x 2>/dev/null || echo read-only; grep CapEff /proc/self/status | tr -d "\t"; grep NoNewPrivs /proc/self/status | tr -d "\t"'
		docker run --rm --privileged $I sh -c 'mount -t tmpfs none /tmp && echo mounted'`, "1\n2\nread-only\nCapEff:0000000000000000\nNoNewPrivs:1\nmounted", false},
}
