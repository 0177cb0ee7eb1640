package lens

// Practice is something that good practice asks of images. Practices are those of the Lens and of its authors' talks on small and safe
// images, in our words.
type Practice struct {
	ID, Text string
	// None says why no check answers it yet, or why none can; "" where one does.
	None string
	// Rules are BuildKit's own that answer it, too.
	Rules []string
}

// Why a practice has no check here.
const (
	onImages = "it needs all images of the store"
	onTools  = "it needs a scanner, or keys, of the user's"
	onRun    = "it needs the image to run"
)

// Practices are all, in the order of the documentation.
var Practices = []Practice{
	{ID: "no-latest", Text: "no `latest` and no untagged base"},
	{ID: "pinned", Text: "pinned and trusted bases"},
	{ID: "multi-stage", Text: "several stages: no compiler in the image"},
	{ID: "minimal", Text: "a minimal base"},
	{ID: "order", Text: "an order that caches"},
	{ID: "cache-mounts", Text: "cache mounts for package managers"},
	{ID: "few-layers", Text: "few layers, and one step for update and install"},
	{ID: "leftovers", Text: "no leftovers of package managers"},
	{ID: "removed-later", Text: "nothing removed in a later layer"},
	{ID: "no-extras", Text: "no recommended extras, no questions, no sudo, no upgrade of the base"},
	{ID: "copy-over-add", Text: "COPY over ADD; nothing remote without a checksum"},
	{ID: "workdir", Text: "an absolute WORKDIR, no chains of cd", Rules: []string{"WorkdirRelativePath"}},
	{ID: "non-root", Text: "a user who is not root, set once, at the end"},
	{ID: "health", Text: "health checks"},
	{ID: "exec-form", Text: "the exec form, and signals that arrive", Rules: []string{"JSONArgsRecommended"}},
	{ID: "one-concern", Text: "one concern for a container"},
	{ID: "secrets", Text: "no secrets in arguments, variables, steps and copies", Rules: []string{"SecretsUsedInArgOrEnv"}},
	{ID: "sensitive-context", Text: "no sensitive files in the context"},
	{ID: "pinned-packages", Text: "packages with versions"},
	{ID: "lineage", Text: "labels of lineage"},
	{ID: "unused", Text: "no unused stages and arguments, no ONBUILD", Rules: []string{"MultipleInstructionsDisallowed"}},
	{ID: "versioned", Text: "the Dockerfile under version control", None: "lint asks no git yet"},
	{ID: "dockerignore", Text: "a useful .dockerignore, and a small context", Rules: []string{"CopyIgnoredFile"}},
	{ID: "no-home", Text: "no home, root or system directory as context"},
	{ID: "assets", Text: "no large static assets"},
	{ID: "windows", Text: "advice on Windows images", None: "the engine runs Linux containers"},
	{ID: "limits", Text: "limits of CPU and memory"},
	{ID: "privileges", Text: "no rights over the host"},
	{ID: "local-environment", Text: "an environment for tests on each machine"},

	{ID: "budget", Text: "a budget of size"},
	{ID: "waste", Text: "no bytes that are in several layers"},
	{ID: "shared-bases", Text: "bases that images share", None: onImages},
	{ID: "setuid", Text: "no setuid programs and file capabilities"},
	{ID: "no-shell", Text: "no shell and no package manager in the image"},
	{ID: "layer-secrets", Text: "no secrets in layers and history"},
	{ID: "vulnerabilities", Text: "no known vulnerabilities", None: onTools},
	{ID: "sbom", Text: "an SBOM and provenance"},
	{ID: "signed", Text: "signatures", None: onTools},
	{ID: "immutable-tags", Text: "tags that do not move", None: onImages},
	{ID: "parents", Text: "parents watched, children rebuilt", None: "it needs the registry and the images"},
	{ID: "platforms", Text: "several platforms"},
	{ID: "reproducible", Text: "built once, and the same each time", None: "it needs two builds"},
	{ID: "retention", Text: "old images removed", None: "it needs the image store"},
	{ID: "entry-point", Text: "an entry point that is there and runs"},
	{ID: "ballast", Text: "no documentation, locales, tests and bytecode"},
	{ID: "read-only", Text: "a read-only root works", None: onRun},
	{ID: "no-capabilities", Text: "it works without capabilities", None: onRun},
	{ID: "sigterm", Text: "it ends at SIGTERM in time", None: onRun},
	{ID: "reaping", Text: "the first process reaps, and is one of few", None: onRun},
	{ID: "streams", Text: "logs on the standard streams", None: onRun},
	{ID: "healthy", Text: "healthy, and soon", None: onRun},
	{ID: "no-download", Text: "nothing is fetched at start", None: onRun},
	{ID: "data-outside", Text: "data outside of the container", None: onRun},
	{ID: "times", Text: "times of builds and starts watched", None: "it needs records of builds"},
}

// Question is one of the Lens's, by its id, with what the practices that it stands behind are about, in our words.
type Question struct {
	ID, About string
	// None says why no check answers it yet, or why none can; "" where one does.
	None string
}

// noPractice is why a question has no check: it is not about a project's files.
const noPractice = "it is about an organization and its build machines, which no file of a project tells"

// Questions are the Lens's.
var Questions = []Question{
	{ID: "OPS_01", About: "lean images that are built the same each time"},
	{ID: "OPS_02", About: "health and logs that can be observed"},
	{ID: "SEC_01", About: "least privilege of containers"},
	{ID: "SEC_02", About: "access to what builds", None: noPractice},
	{ID: "SEC_03", About: "vulnerabilities", None: onTools},
	{ID: "SEC_04", About: "trusted parts, and a small surface"},
	{ID: "SEC_05", About: "secrets and data"},
	{ID: "REL_01", About: "limits"},
	{ID: "REL_02", About: "data outside of the container", None: onRun},
	{ID: "REL_03", About: "tests on each machine"},
	{ID: "REL_04", About: "lineage of images"},
	{ID: "REL_05", About: "health checks"},
	{ID: "PERF_01", About: "small images, small contexts, one concern"},
	{ID: "PERF_02", About: "not named by any practice on the list", None: noPractice},
	{ID: "PERF_03", About: "versions of bases"},
	{ID: "PERF_04", About: "bases that are kept up to date"},
	{ID: "PERF_05", About: "times of builds", None: "it needs records of builds"},
	{ID: "PERF_06", About: "caches, and fast builds"},
	{ID: "COST_01", About: "retention", None: "it needs the image store"},
	{ID: "COST_02", About: "bases that are shared", None: onImages},
	{ID: "COST_03", About: "ballast in images"},
	{ID: "COST_04", About: "small layers"},
	{ID: "COST_05", About: "fast starts and stops"},
	{ID: "COST_06", About: "tags and platforms"},
	{ID: "COST_07", About: "time until it is healthy", None: onRun},
	{ID: "COST_08", About: "not named by any practice on the list", None: noPractice},
	{ID: "SUSTAINABILITY_01", About: "nothing unused"},
	{ID: "SUSTAINABILITY_02", About: "platforms that need less energy"},
	{ID: "SUSTAINABILITY_03", About: "old images", None: "it needs the image store"},
}
