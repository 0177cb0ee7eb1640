//go:build e2e && linux

package docker_test

// images are journeys with builds, images and registries.
var images = []journey{
	{"build", `
		printf 'FROM %s AS one\nARG A\nRUN echo $A >/a\nFROM one\nRUN echo b >/b\n' $I >Dockerfile
		docker build -q -t $N --build-arg A=argument --target one . >/dev/null 2>&1
		docker run --rm $N sh -c 'cat /a; test -e /b || echo none'
		docker rmi -f $N >/dev/null`, "argument\nnone", true},
	{"build with a secret", `
		printf 'hush' >secret
		printf 'FROM %s\nRUN --mount=type=secret,id=s cat /run/secrets/s | wc -c >/n\nRUN test ! -e /run/secrets/s\n' $I >Dockerfile
		docker build -q -t $N --secret id=s,src=secret . >/dev/null
		docker run --rm $N cat /n
		docker history --no-trunc $N | grep -c hush || true
		docker rmi $N >/dev/null`, "4\n0", false},
	{"build from a pipe", `
		printf 'FROM %s\nCMD ["echo","piped"]\n' $I | docker build -q -t $N - >/dev/null
		docker run --rm $N; docker rmi $N >/dev/null`, "piped", false},
	{"build with a cache", `
		printf 'FROM %s\nRUN --mount=type=cache,target=/c cat /c/n 2>/dev/null; date +%%s%%N >/c/n; cp /c/n /n\nCOPY f /f\n' $I >Dockerfile
		echo 1 >f; docker build -q -t $N . >/dev/null; docker run --rm $N cat /n >one
		echo 2 >f; docker build -q -t $N . >/dev/null; docker run --rm $N cat /n >two
		cmp one two && docker run --rm $N cat /f
		docker rmi $N >/dev/null`, "2", false},
	{"build that fails", `
		printf 'FROM %s\nRUN echo before; exit 3\n' $I >Dockerfile
		docker build --progress plain . >out 2>&1 || echo $?
		grep -c 'exit code: 3' out | grep -qv '^0$' && echo said
		docker build -f nothing . >out 2>&1 || echo $?`, "1\nsaid\n1", false},
	{"buildx", `
		printf 'FROM %s\nCMD ["echo","loaded"]\n' $I >Dockerfile
		docker buildx build --load -q -t $N . >/dev/null
		docker run --rm $N
		docker buildx build -q --output type=local,dest=out . >/dev/null; test -e out/bin/busybox && echo exported
		docker buildx inspect default | grep -c 'Driver: *docker$'
		docker rmi $N >/dev/null`, "loaded\nexported\n1", false},
	{"tag and remove", `
		docker tag $I $N:a; docker tag $N:a $N:b
		docker images --format '{{.Repository}}:{{.Tag}}' $N | sort
		docker rmi $N:a $N:b | sort
		docker images -q $N`, "jtagandremove:a\njtagandremove:b\nUntagged: jtagandremove:a\nUntagged: jtagandremove:b", false},
	{"save and load", `
		printf 'FROM %s\nCMD ["echo","saved"]\n' $I | docker build -q -t $N - >/dev/null
		docker save -o tar $N; docker rmi $N >/dev/null
		docker load -i tar
		docker run --rm $N; docker rmi $N >/dev/null`, "Loaded image: jsaveandload:latest\nsaved", false},
	{"export and import", `
		docker create --name $N $I true >/dev/null
		docker export $N | docker import -c 'CMD ["/bin/busybox","echo","imported"]' - $N:made >/dev/null
		docker run --rm $N:made; docker rmi $N:made >/dev/null`, "imported", true},
	{"history and inspect", `
		docker history --format '{{.CreatedBy}}' $I | head -n 1
		docker image inspect -f '{{.Os}} {{.Config.Cmd}}' $I`, "CMD [\"sh\"]\nlinux [sh]", false},
	{"push and pull", `
		printf 'FROM %s\nCMD ["echo","pulled"]\n' $I | docker build -q -t $R/$N:v1 - >/dev/null
		docker push -q $R/$N:v1 | sed "s/$R/R/"
		docker rmi $R/$N:v1 >/dev/null
		docker pull -q $R/$N:v1 | sed "s/$R/R/"
		docker run --rm $R/$N:v1
		docker image inspect -f '{{len .RepoDigests}}' $R/$N:v1
		docker rmi $R/$N:v1 >/dev/null
		docker run --rm --pull always -q $R/$N:v1
		docker rmi $R/$N:v1 >/dev/null
		docker pull $R/no/such 2>&1 | grep -ci 'not found\|unknown' | grep -qv '^0$' && echo not found`, "R/jpushandpull:v1\nR/jpushandpull:v1\npulled\n1\npulled\nnot found", false},
	{"image prune", `
		printf 'FROM %s\nLABEL x=%s\nRUN echo 1 >/one\n' $I $N | docker build -q -t $N - >/dev/null
		printf 'FROM %s\nLABEL x=%s\nRUN echo 2 >/one\n' $I $N | docker build -q - >/dev/null
		docker images -q --filter dangling=true --filter label=x=$N | wc -l
		docker image prune -af --filter label=x=$N >/dev/null
		docker images -aq --filter label=x=$N | wc -l`, "1\n0", false},
}
