//go:build e2e && linux

package docker_test

// worlds are journeys with mounts, volumes and networks.
var worlds = []journey{
	{"bind mounts", `
		echo host >file
		docker run --rm -v "$PWD":/here -v "$PWD/file":/ro:ro $I sh -c 'cat /here/file; echo container >/here/made; echo x >/ro 2>/dev/null || echo read-only'
		cat made
		docker run --rm --mount type=tmpfs,dst=/t $I sh -c 'grep -c " /t tmpfs" /proc/mounts'`, "host\nread-only\ncontainer\n1", true},
	{"volumes", `
		docker volume create --label a=b $N
		docker run --rm -v $N:/data $I sh -c 'echo kept >/data/file'
		docker run --rm --mount type=volume,src=$N,dst=/d,readonly $I sh -c 'cat /d/file; touch /d/x 2>/dev/null || echo read-only'
		docker volume ls -q --filter label=a=b
		docker run -d --name $N -v $N:/data $I sleep 1000 >/dev/null
		docker volume rm $N 2>&1 | grep -o 'volume is in use'
		docker rm -f $N >/dev/null
		docker volume rm $N`, "jvolumes\nkept\nread-only\njvolumes\nvolume is in use\njvolumes", true},
	{"volumes from", `
		docker run --name $N -v /shared $I sh -c 'echo here >/shared/f'
		docker run --rm --volumes-from $N $I cat /shared/f`, "here", false},
	{"aliases", `
		docker network create $N >/dev/null
		docker run -d --name $N-web --network $N --network-alias web $I sh -c 'mkdir /w; echo page >/w/index.html; exec httpd -f -p 80 -h /w' >/dev/null
		docker run --rm --network $N $I sh -c 'until wget -qO- http://web/; do :; done; wget -qO- http://'$N-web'/'
		docker rm -f $N-web >/dev/null
		docker network rm $N`, "page\npage\njaliases", false},
	{"connected", `
		docker network create --subnet 192.168.217.0/24 $N >/dev/null
		docker run -d --name $N $I sleep 1000 >/dev/null
		docker network connect --ip 192.168.217.77 $N $N
		docker exec $N ip -4 addr | grep -o 192.168.217.77
		docker network disconnect $N $N
		docker exec $N ip -4 addr | grep -c 192.168.217 || true`, "192.168.217.77\n0", false},
	{"internal", `
		docker network create --internal $N >/dev/null
		docker run --rm --network $N $I sh -c 'ip route | grep -c default || true'
		docker network inspect -f '{{.Internal}} {{.Driver}}' $N`, "0\ntrue bridge", false},
	{"kinds of networks", `
		docker run --rm --network none $I ls /sys/class/net
		docker run --rm --network host $I ls -d /proc/sys/net/ipv4/conf/lo
		docker run -d --name $N $I sh -c 'echo shared >/index.html; exec httpd -f -p 8080 -h /' >/dev/null
		docker run --rm --network container:$N $I sh -c 'until wget -qO- http://127.0.0.1:8080/; do :; done'`, "lo\n/proc/sys/net/ipv4/conf/lo\nshared", false},
	{"published", `
		docker run -d --name $N -p 127.0.0.1:18123:80 -p 81 $I sh -c 'echo page >/index.html; exec httpd -f -p 80 -h /' >/dev/null
		until busybox wget -qO- http://127.0.0.1:18123/ 2>/dev/null; do :; done
		docker port $N 80
		docker port $N 81 | grep -c 0.0.0.0:
		docker rm -f $N >/dev/null
		busybox wget -qO- http://127.0.0.1:18123/ 2>/dev/null || echo closed`, "page\n127.0.0.1:18123\n1\nclosed", false},
	{"the host's name", `
		mkdir www; echo from the host >www/index.html
		busybox httpd -f -p 0.0.0.0:18124 -h www & server=$!
		trap 'kill $server' EXIT
		docker run --rm --add-host host.docker.internal:host-gateway $I wget -qO- http://host.docker.internal:18124/
		docker run --rm $I wget -qO- http://host.docker.internal:18124/`, "from the host\nfrom the host", false},
	{"the socket in a container", `
		docker run --rm -v "${DOCKER_HOST#unix://}":/var/run/docker.sock $I sh -c 'printf "GET /_ping HTTP/1.0\r\n\r\n" | nc local:/var/run/docker.sock 2>/dev/null | tail -n 1; test -S /var/run/docker.sock && echo socket'`, "socket", false},
	{"filters and formats", `
		docker run -d --name $N-1 --label x=$N $I sleep 1000 >/dev/null
		docker create --name $N-2 --label x=$N $I true >/dev/null
		docker ps -a --filter label=x=$N --format '{{.Names}} {{.State}}' | sort
		docker ps -a --filter label=x=$N --filter status=created --format json | grep -o '"Names":"[^"]*"'`, "jfiltersandformats-1 running\njfiltersandformats-2 created\n\"Names\":\"jfiltersandformats-2\"", false},
	{
		"disk usage", `
		docker volume create $N >/dev/null
		docker run --name $N -v $N:/v $I sh -c 'head -c 1000000 /dev/zero >/v/f'
		docker system df --format '{{.Type}}'
		docker system df -v --format '{{range .Volumes}}{{if eq .Name "'$N'"}}{{.Size}} {{.Links}}{{end}}{{end}}'`,
		"Images\nContainers\nLocal Volumes\nBuild Cache\n1MB 1", false,
	},
	{"prunes", `
		docker create --name $N --label x=$N $I true >/dev/null
		docker create --name $N-other $I true >/dev/null
		docker container prune -f --filter label=x=$N >/dev/null
		docker ps -a --filter name=$N --format '{{.Names}}'
		docker network create --label x=$N $N >/dev/null
		docker network prune -f --filter label=x=$N | tail -n 2 | tr '\n' ' '; echo
		docker volume create --label x=$N $N >/dev/null
		docker volume prune -af --filter label=x=$N | grep $N`, "jprunes-other\njprunes  \njprunes", false},
	{"version and info", `
		docker version --format '{{.Client.Version}} {{.Server.APIVersion}}' | tr -d v
		docker info --format '{{.ServerVersion}} {{.Swarm.LocalNodeState}}' | sed s/^v//`, "29.9.3 1.56\n2.0.0-beta.24 inactive", false},
}
