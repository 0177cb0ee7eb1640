package nerdctl

import "strings"

// kind is what the value of a flag means to the host that it was typed on.
type kind uint8

const (
	plain         kind = iota // nothing: it goes over as it is
	envVar                    // NAME=value or NAME, set in a container
	buildArg                  // NAME=value or NAME, set in a build
	fileIn                    // a file that nerdctl reads, or -
	filesIn                   // a comma-separated list of files that nerdctl reads
	envFiles                  // the same, of environment files, whose bare names are resolved too
	fileOut                   // a file that nerdctl writes
	dirIn                     // a directory that must be visible
	dirsIn                    // a comma-separated list of them
	dirOut                    // a directory that must be visible and writable
	volume                    // SOURCE:DESTINATION[:OPTIONS]
	mount                     // key=value,..., with source= or src=
	archiveIn                 // an archive that nerdctl reads, or standard input without the flag
	archiveOut                // an archive that nerdctl writes, or standard output without the flag
	signingKey                // a key file, or a URI of a key elsewhere
	securityOpt               // seccomp=FILE among others
	decryptionKey             // FILE[:PASSWORD], comma-separated
	recipient                 // PROTOCOL:FILE for two of the protocols, comma-separated
	buildContext              // NAME=DIRECTORY or NAME=URL
	buildSecret               // id=ID[,src=FILE|,env=NAME]
	buildSSH                  // ID[=SOCKET|KEY[,KEY]]
	buildOutput               // DIRECTORY or key=value,..., with dest=
	buildCache                // key=value,..., with src= or dest= when type=local
	composeFile               // a compose file, which names others beside it, or -
)

// rule classifies one flag of some commands; a command is named as commandKey does. A plain
// flag that sounds like a path or a variable says why it is none of the host's.
type rule struct {
	commands, flag string
	kind           kind
	why            string
}

const (
	engineSide    = "a path of the machine that the engine runs on"
	containerSide = "a path in the container"
	textOnly      = "text that names no file or variable"
)

// rules is the whole policy. Parsing takes nothing from it: what is not here goes over as
// typed. TestEveryPathFlagIsClassified walks nerdctl's flags and fails on one that looks as
// if it belonged here and is missing.
var rules = [...]rule{
	{"run,create,exec,compose run,compose exec", "env", envVar, ""},
	{"run,create,exec", "env-file", envFiles, ""},
	{"run,create", "label-file", filesIn, ""},
	{"run,create", "cidfile", fileOut, ""},
	{"run,create", "pidfile", fileOut, ""},
	{"run,create,compose run", "volume", volume, ""},
	{"run,create", "mount", mount, ""},
	{"run,create", "security-opt", securityOpt, ""},
	{"run,create,pull,push", "cosign-key", signingKey, ""},
	{"start,checkpoint ls", "checkpoint-dir", dirIn, ""},
	{"checkpoint create,checkpoint rm", "checkpoint-dir", dirOut, ""},

	{"load", "input", archiveIn, ""},
	{"save,export", "output", archiveOut, ""},
	{"convert", "estargz-record-in", fileIn, ""},
	{"convert", "zstdchunked-record-in", fileIn, ""},
	{"decrypt,encrypt", "key", decryptionKey, ""},
	{"decrypt,encrypt", "gpg-homedir", dirIn, ""},
	{"decrypt,encrypt", "dec-recipient", recipient, ""},
	{"encrypt", "recipient", recipient, ""},

	{"build,debug", "file", fileIn, ""},
	{"build,debug,compose build", "build-arg", buildArg, ""},
	{"build,debug", "secret", buildSecret, ""},
	{"build,debug", "ssh", buildSSH, ""},
	{"build", "build-context", buildContext, ""},
	{"build", "cache-from", buildCache, ""},
	{"build", "cache-to", buildCache, ""},
	{"build", "output", buildOutput, ""},
	{"build", "iidfile", fileOut, ""},
	{"build", "source-policy-file", fileIn, ""},

	{"compose", "file", composeFile, ""},
	{"compose", "env-file", fileIn, ""},
	{"compose", "project-directory", dirIn, ""},

	{"", "hosts-dir", dirsIn, ""},
	{"", "address", plain, "the engine's socket, on the engine's machine"},
	{"", "cni-path", plain, engineSide},
	{"", "cni-netconfpath", plain, engineSide},
	{"", "data-root", plain, engineSide},
	{"", "cdi-spec-dirs", plain, engineSide},

	{"run,create,exec,compose run,compose exec", "workdir", plain, containerSide},
	{"run,create", "tmpfs", plain, containerSide},
	{"run,create", "volumes-from", plain, "the name of a container"},
	{"run,create", "device", plain, "a device of the machine that the engine runs on"},
	{"run,create", "device-read-bps", plain, "a device of the machine that the engine runs on"},
	{"run,create", "device-read-iops", plain, "a device of the machine that the engine runs on"},
	{"run,create", "device-write-bps", plain, "a device of the machine that the engine runs on"},
	{"run,create", "device-write-iops", plain, "a device of the machine that the engine runs on"},
	{"run,create", "blkio-weight-device", plain, "a device of the machine that the engine runs on"},
	{"run,create", "log-driver", plain, "its binary:// and file:// are " + engineSide},
	{"run,create", "init-binary", plain, engineSide},
	{"run,create", "network", plain, "its ns: is " + engineSide},
	{"run,create", "net", plain, "its ns: is " + engineSide},
	{"run,create,pull", "cosign-certificate-identity", plain, textOnly},
	{"run,create,pull", "cosign-certificate-identity-regexp", plain, textOnly},
	{"run,create,pull", "cosign-certificate-oidc-issuer", plain, textOnly},
	{"run,create,pull", "cosign-certificate-oidc-issuer-regexp", plain, textOnly},
	{"push", "notation-key-name", plain, "the name of a key that notation knows"},
	{"run,create,start,attach", "detach-keys", plain, textOnly},
	{"run,create,pull,push,compose", "ipfs-address", plain, textOnly},
	{"ipfs registry serve", "ipfs-address", plain, textOnly},
	{"convert", "nydus-builder-path", plain, engineSide},
	{"convert", "nydus-prefetch-patterns", plain, "paths in the image"},
	{"convert", "nydus-work-dir", plain, engineSide},
	{"compose up", "scale", plain, textOnly},
	{"commit", "change", plain, textOnly},
	{"volume ls", "filter", plain, textOnly},
}

// commandKey names a command for the rules: its path, without the groups that only repeat
// top-level commands.
func commandKey(path []string) string {
	if len(path) == 2 && (path[0] == "container" || path[0] == "image" || path[0] == "builder") {
		path = path[1:]
	}
	return strings.Join(path, " ")
}

// kindOf returns what the rules say of a flag that the command at a path defines.
func kindOf(path []string, name string) (rule, bool) {
	key := commandKey(path)
	for _, r := range rules {
		if r.flag != name {
			continue
		}
		for command := range strings.SplitSeq(r.commands, ",") {
			if command == key {
				return r, true
			}
		}
	}
	return rule{}, false
}

// definedBy returns the path of the command in the chain that defines f.
func (inv *Invocation) definedBy(f *Flag) []string {
	for level, c := range inv.chain {
		for i := range c.Flags {
			if &c.Flags[i] == f {
				return inv.Path[:level]
			}
		}
	}
	return inv.Path
}

// Steering says whether a variable of that name means something to nerdctl itself, to the
// programs that it starts or to the Go runtime in it. Such a variable of a container cannot
// travel as nerdctl's own environment, because it would change what nerdctl does; it stays
// on the command line as NAME=value. The names are those that the pinned nerdctl and the
// libraries in it look up, and those of the dynamic loader and of the Go runtime.
//
// The list is narrow on purpose: what is on it is seen on an argv. Names that are only read
// by daemons (AWS_SECRET_ACCESS_KEY) or look alike (DOCKER_PASSWORD) are not on it.
func Steering(name string) bool {
	switch name {
	case "PATH", "HOME", "PWD", "USER", "LOGNAME", "SHELL", "TERM", "TMPDIR", "TEMP", "TMP", "TZ", "TAR", "DEBUG", "container":
	case "LANG", "LANGUAGE", "ENV", "BASH_ENV", "IFS", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLORTERM":
	case "CNI_PATH", "NETCONFPATH", "NOTIFY_SOCKET", "SSH_AUTH_SOCK", "SOURCE_DATE_EPOCH", "TTY_DISPLAY_RATE":
	case "CONTAINER_ID", "CONTAINER_NAMESPACE", "PASSWORD_STORE_DIR", "GNUPGHOME", "COSIGN_EXPERIMENTAL", "COSIGN_REPOSITORY":
	case "DOCKER_CONFIG", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS", "DOCKER_TLS_VERIFY",
		"DOCKER_API_VERSION", "DOCKER_AUTH_CONFIG", "DOCKER_BUILDKIT", "DOCKER_CUSTOM_HEADERS", "DOCKER_DEFAULT_PLATFORM":
	case "GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GORACE", "GOTRACEBACK", "GOROOT", "GOCOVERDIR":
	case "TRACEPARENT", "TRACESTATE", "JAEGER_TRACE", "LOCALDOMAIN", "RES_OPTIONS", "HOSTALIASES":
	default:
		return steeringProxy(name) || steeringPrefix(name)
	}
	return true
}

// steeringProxy says whether Go's HTTP client takes a variable for a proxy; the case does not matter.
func steeringProxy(name string) bool {
	switch strings.ToUpper(name) {
	case "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD":
		return true
	}
	return false
}

func steeringPrefix(name string) bool {
	for _, prefix := range [...]string{
		"CONTAINERD_", "NERDCTL_", "BUILDKIT_", "BUILDCTL_", "EXPERIMENTAL_BUILDKIT_", "COMPOSE_", "CNI_", "ROOTLESSKIT_",
		"IPFS_", "OCICRYPT_", "SIGSTORE_", "TUF_", "TTRPC_", "GRPC_GO_", "LINNET_", "_LINNET_", "_ROOTLESSKIT_", "_LIBCONTAINER_",
		"LD_", "DYLD_", "GLIBC_", "MALLOC_", "GCONV_", "LC_", "XDG_", "SSL_CERT_", "LISTEN_", "XTABLES_", "DBUS_",
	} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
