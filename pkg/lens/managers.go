package lens

import (
	"slices"
	"strings"
)

// manager is a package manager: how its commands are read, and what good practice asks of them.
type manager struct {
	names   []string
	install []string // the subcommands that install
	update  []string // the subcommands that only fetch lists
	upgrade []string // the subcommands that bring everything up to date
	// cache are the directories whose contents a build can keep in cache mounts.
	cache []string
	// yes are the flags without which it asks.
	yes []string
	// clean are texts of which one in the same RUN says that it leaves nothing behind.
	clean []string
	// fix says how to leave nothing behind.
	fix string
	// system says that it is a distribution's.
	system bool
	// pinned reports whether a package has a version; nil where versions are in a file of the project.
	pinned func(string) bool
	// manifests are the project's files that say what to install; a broad COPY before the install spoils its cache.
	manifests []string
}

var managers = []manager{
	{
		names: []string{"apt-get", "apt", "aptitude"}, install: []string{"install"}, update: []string{"update"}, upgrade: []string{"upgrade", "dist-upgrade", "full-upgrade"},
		cache: []string{"/var/cache/apt", "/var/lib/apt"}, yes: []string{"--yes", "--assume-yes", "-qq", "-y"}, clean: []string{"/var/lib/apt/lists", "/var/lib/apt"},
		fix: "end the RUN with && rm -rf /var/lib/apt/lists/*", system: true, pinned: func(p string) bool { return strings.Contains(p, "=") },
	},
	{
		names: []string{"apk"}, install: []string{"add"}, update: []string{"update"}, upgrade: []string{"upgrade"},
		cache: []string{"/var/cache/apk", "/etc/apk/cache"}, clean: []string{"--no-cache", "/var/cache/apk"},
		fix: "apk add --no-cache", system: true, pinned: func(p string) bool { return strings.ContainsAny(p, "=~<>") },
	},
	{
		names: []string{"dnf", "yum", "microdnf"}, install: []string{"install", "groupinstall"}, update: []string{"makecache", "check-update"}, upgrade: []string{"upgrade", "update", "distro-sync"},
		cache: []string{"/var/cache/dnf", "/var/cache/yum", "/var/cache/libdnf5"}, yes: []string{"--assumeyes", "-y"}, clean: []string{"clean all", "/var/cache/dnf", "/var/cache/yum"},
		fix: "end the RUN with && dnf clean all", system: true, pinned: func(p string) bool { return strings.ContainsAny(p, "0123456789") && strings.Contains(p, "-") },
	},
	{
		names: []string{"zypper"}, install: []string{"install", "in"}, update: []string{"refresh", "ref"}, upgrade: []string{"update", "up", "dist-upgrade", "dup"},
		cache: []string{"/var/cache/zypp"}, yes: []string{"--non-interactive", "--no-confirm", "-n", "-y"}, clean: []string{"clean", "/var/cache/zypp"},
		fix: "end the RUN with && zypper clean --all", system: true, pinned: func(p string) bool { return strings.Contains(p, "=") },
	},
	{
		names: []string{"pip", "pip3"}, install: []string{"install"}, cache: []string{"/root/.cache/pip", "/root/.cache"}, clean: []string{"--no-cache-dir", "PIP_NO_CACHE_DIR", ".cache/pip"},
		fix: "pip install --no-cache-dir, or a cache mount of /root/.cache/pip", pinned: pinnedPip, manifests: []string{"requirements.txt", "pyproject.toml"},
	},
	{names: []string{"poetry"}, install: []string{"install"}, cache: []string{"/root/.cache/pypoetry", "/root/.cache"}, manifests: []string{"poetry.lock", "pyproject.toml"}},
	{names: []string{"uv"}, install: []string{"sync"}, cache: []string{"/root/.cache/uv", "/root/.cache"}, manifests: []string{"uv.lock", "pyproject.toml"}},
	{names: []string{"pipenv"}, install: []string{"install", "sync"}, cache: []string{"/root/.cache"}, manifests: []string{"Pipfile.lock", "Pipfile"}},
	{names: []string{"npm"}, install: []string{"install", "ci", "i"}, cache: []string{"/root/.npm"}, pinned: pinnedNode, manifests: []string{"package-lock.json", "package.json"}},
	{names: []string{"yarn"}, install: []string{"install", ""}, cache: []string{"/usr/local/share/.cache/yarn", "/root/.yarn", "/root/.cache/yarn"}, manifests: []string{"yarn.lock", "package.json"}},
	{names: []string{"pnpm"}, install: []string{"install", "i", "fetch"}, cache: []string{"/pnpm/store", "/root/.local/share/pnpm", "/root/.cache/pnpm"}, manifests: []string{"pnpm-lock.yaml", "package.json"}},
	{names: []string{"bun"}, install: []string{"install", "i"}, cache: []string{"/root/.bun"}, manifests: []string{"bun.lock", "package.json"}},
	{names: []string{"go"}, install: []string{"build", "install", "mod"}, cache: []string{"/root/.cache/go-build", "/go/pkg/mod", "/go"}, manifests: []string{"go.mod"}},
	{names: []string{"cargo"}, install: []string{"build", "install", "fetch"}, cache: []string{"/usr/local/cargo", "/root/.cargo", "/app/target"}, manifests: []string{"Cargo.toml"}},
	{names: []string{"mvn", "mvnw"}, install: []string{"package", "install", "verify", "dependency:go-offline"}, cache: []string{"/root/.m2"}, manifests: []string{"pom.xml"}},
	{names: []string{"gradle", "gradlew"}, install: []string{"build", "assemble", "bootJar"}, cache: []string{"/root/.gradle", "/home/gradle/.gradle"}, manifests: []string{"build.gradle", "build.gradle.kts"}},
	{names: []string{"bundle", "bundler"}, install: []string{"install"}, cache: []string{"/usr/local/bundle", "/root/.bundle"}, manifests: []string{"Gemfile"}},
	{names: []string{"gem"}, install: []string{"install"}, cache: []string{"/usr/local/bundle/cache", "/root/.gem"}},
	{names: []string{"composer"}, install: []string{"install"}, cache: []string{"/root/.composer", "/root/.cache/composer", "/tmp/cache"}, manifests: []string{"composer.json"}},
	{names: []string{"dotnet"}, install: []string{"restore", "build", "publish"}, cache: []string{"/root/.nuget"}, manifests: []string{}},
}

// valued are flags of managers whose next word is a value, not a package.
var valued = []string{"-t", "--virtual", "-r", "--requirement", "-c", "--constraint", "-i", "--index-url", "--extra-index-url", "-o", "--option", "--target-release", "--prefix", "--repository", "-X", "--target", "--registry", "-C", "--python"}

func pinnedPip(p string) bool {
	return strings.Contains(p, "==") || strings.Contains(p, "===") || strings.ContainsAny(p, "@/") || p == "." || strings.HasSuffix(p, ".whl")
}

func pinnedNode(p string) bool {
	return strings.Contains(strings.TrimPrefix(p, "@"), "@") || strings.HasPrefix(p, ".") || strings.HasPrefix(p, "/") || strings.Contains(p, "://")
}

// install is a command that installs.
type install struct {
	*manager
	call     Call
	packages []string
	virtual  bool // apk's --virtual: what a later command removes
}

// managerOf is the package manager that a command is, and its subcommand.
func managerOf(c Call) (*manager, string) {
	words := c.plain()
	if len(words) > 3 && strings.HasPrefix(c.name(), "python") && words[1] == "-m" && strings.HasPrefix(words[2], "pip") {
		c = Call{Words: words[2:]}
		words = c.Words
	}
	for i := range managers {
		if !slices.Contains(managers[i].names, c.name()) {
			continue
		}
		for _, w := range words[1:] {
			if !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") {
				return &managers[i], w
			}
		}
		return &managers[i], ""
	}
	return nil, ""
}

// installOf reads a command that installs; nil says that it is none.
func installOf(c Call) *install {
	m, sub := managerOf(c)
	if m == nil || !slices.Contains(m.install, sub) {
		return nil
	}
	words := c.plain()
	at := slices.Index(words, sub)
	if sub == "" {
		at = len(words) - 1
	}
	if m.names[0] == "go" && sub == "mod" && !slices.Contains(words, "download") {
		return nil
	}
	in := &install{manager: m, call: c}
	for i := at + 1; i < len(words); i++ {
		switch w := words[i]; {
		case w == "-t" || w == "--virtual" || strings.HasPrefix(w, "--virtual="):
			in.virtual = true
			if !strings.Contains(w, "=") {
				i++
			}
		case slices.Contains(valued, w):
			i++
		case strings.HasPrefix(w, "-"), strings.ContainsAny(w, "$<>"):
		default:
			in.packages = append(in.packages, w)
		}
	}
	return in
}

// packageName is a package without its version.
func packageName(p string) string {
	if i := strings.IndexAny(p, "=~<>"); i > 0 {
		return p[:i]
	}
	return p
}

// removedPackages are what a script removes again; ".virtual" stands for apk's virtual packages.
func removedPackages(s *Script) (all []string) {
	for _, c := range calls(s) {
		words := c.args()
		if len(words) == 0 {
			continue
		}
		m, sub := managerOf(c)
		if m == nil || !slices.Contains([]string{"purge", "remove", "autoremove", "del", "erase"}, sub) {
			continue
		}
		for _, w := range words[1:] {
			if strings.HasPrefix(w, ".") {
				w = ".virtual"
			}
			all = append(all, packageName(w))
		}
	}
	return all
}
