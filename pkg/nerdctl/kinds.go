package nerdctl

import "strings"

// kind is what the value of a flag means to the host that it was typed on.
type kind uint8

const (
	plain         kind = iota // nothing: it goes over as it is
	envVar                    // NAME=value or NAME, set in a container
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
	composeFile               // a compose file, which names others beside it, or -
)

// rule classifies one flag of some commands; a command is named as Key does. A plain
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
	notShipped    = "the engine has no debugger of builds, and nerdctl says so"
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
	{"debug", "file", plain, notShipped},
	{"debug", "build-arg", plain, notShipped},
	{"debug", "secret", plain, notShipped},
	{"debug", "ssh", plain, notShipped},
	{"volume ls", "filter", plain, textOnly},
}

// Key names a command by its canonical path, without the groups that only repeat
// top-level commands.
func Key(path []string) string {
	if len(path) == 2 && (path[0] == "container" || path[0] == "image" || path[0] == "builder") {
		path = path[1:]
	}
	return strings.Join(path, " ")
}

// kindOf returns what the rules say of a flag that the command at a path defines.
func kindOf(path []string, name string) (rule, bool) {
	key := Key(path)
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

// Allowed reports whether nerdctl, where it makes or enters a container, gets a variable of that name from the user's
// environment. It is what nerdctl and what it starts need to run, speak the user's language and reach registries; a
// variable that was given to a container never comes this way, whatever its name.
func Allowed(name string) bool {
	switch name {
	case "PATH", "HOME", "USER", "LOGNAME", "TERM", "TZ", "LANG", "LANGUAGE", "NO_COLOR", "TMPDIR":
	case "DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME":
	case "GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG", "GOTRACEBACK":
	case "GNUPGHOME", "OCICRYPT_KEYPROVIDER_CONFIG", "COSIGN_EXPERIMENTAL", "COSIGN_REPOSITORY", "IPFS_PATH":
	default:
		return strings.HasPrefix(name, "LC_") || strings.HasPrefix(name, "NERDCTL_") || allowedProxy(name)
	}
	return true
}

// allowedProxy reports whether Go's HTTP client takes a variable for a proxy; the case does not matter.
func allowedProxy(name string) bool {
	switch strings.ToUpper(name) {
	case "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY":
		return true
	}
	return false
}
