package buildcmd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	units "github.com/docker/go-units"
	"github.com/spf13/pflag"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// values are the flags of one `build` as they were typed.
type values struct {
	addHosts, allow, annotations, args, contexts, labels, tags []string
	attests, cacheFrom, cacheTo, outputs, secrets, ssh         []string
	noCacheFilter, platforms, resources, ulimits, policies     []string

	file, target, network, cgroupParent, sourcePolicy string
	provenance, sbom, call, progress                  string
	iidfile, metadataFile, shmSize                    string
	builder, buildkitHost, isolation                  string
	memory, memorySwap, cpuset, cpusetMems            string
	cpuShares, cpuPeriod, cpuQuota                    int64

	noCache, pull, load, push, quiet, check bool
	squash, ignored                         bool
	securityOpt                             []string
}

// add declares the flags. options.Flags is what they have to be; a test holds them to it.
func (v *values) add(f *pflag.FlagSet) {
	list := func(to *[]string, name, short, usage string) { f.StringArrayVarP(to, name, short, nil, usage) }
	text := func(to *string, name, short, value, usage string) { f.StringVarP(to, name, short, value, usage) }
	list(&v.addHosts, "add-host", "", "add a line to the steps' /etc/hosts: NAME:IP")
	list(&v.allow, "allow", "", "let steps have what they are refused otherwise: network.host, security.insecure")
	list(&v.annotations, "annotation", "", "add an annotation to the image: [KIND:]KEY=VALUE")
	list(&v.attests, "attest", "", "attach an attestation: type=provenance or type=sbom, and its parameters")
	list(&v.args, "build-arg", "", "set a build argument: NAME=VALUE, or NAME for the value it has here")
	list(&v.contexts, "build-context", "", "add a build context: NAME=PATH, NAME=docker-image://IMAGE, NAME=oci-layout://PATH, NAME=URL")
	text(&v.builder, "builder", "", "", "docker's choice of a builder: there is one, default")
	text(&v.buildkitHost, "buildkit-host", "", "", "nerdctl's choice of a BuildKit: there is one, the engine's")
	list(&v.cacheFrom, "cache-from", "", "read build cache: IMAGE, or type=registry|local,...")
	list(&v.cacheTo, "cache-to", "", "write build cache: IMAGE, or type=registry|local|inline,...")
	text(&v.call, "call", "", "build", "ask about the Dockerfile instead: check, outline, targets; ,format=json")
	text(&v.cgroupParent, "cgroup-parent", "", "", "parent control group of the steps")
	f.BoolVar(&v.check, "check", false, "check the Dockerfile and build nothing")
	text(&v.file, "file", "f", "", "the Dockerfile: a path, - for standard input, or an address (default: PATH/Dockerfile)")
	text(&v.iidfile, "iidfile", "", "", "write the image's ID to a file")
	list(&v.labels, "label", "", "add a label to the image: KEY=VALUE")
	f.BoolVar(&v.load, "load", false, "put the result into the image store, which is the default")
	text(&v.metadataFile, "metadata-file", "", "", "write what is known of the result to a file, in JSON")
	text(&v.network, "network", "", "default", "the steps' network: default, none, host")
	f.BoolVar(&v.noCache, "no-cache", false, "run every step again")
	list(&v.noCacheFilter, "no-cache-filter", "", "run the steps of a stage again")
	list(&v.outputs, "output", "o", "where the result goes: DIRECTORY, or type=image|registry|local|tar|oci|docker,dest=PATH,...")
	list(&v.platforms, "platform", "", "build for a platform, or several: linux/amd64,linux/arm64")
	list(&v.policies, "policy", "", "docker's policies: only disabled=true is understood")
	text(&v.progress, "progress", "", "auto", "how progress is shown: auto, tty, plain, rawjson, quiet")
	text(&v.provenance, "provenance", "", "", "attach provenance: true, false, mode=min, mode=max")
	f.BoolVar(&v.pull, "pull", false, "look for newer base images")
	f.BoolVar(&v.push, "push", false, "push the result to its registry")
	f.BoolVarP(&v.quiet, "quiet", "q", false, "show no progress and print the image's ID")
	list(&v.resources, "resource", "", "limit the steps: memory=2g, cpu-quota=50000, ...")
	text(&v.sbom, "sbom", "", "", "attach a bill of materials: true, false, generator=IMAGE")
	list(&v.secrets, "secret", "", "offer a secret: id=ID,src=FILE or id=ID,env=VARIABLE")
	text(&v.shmSize, "shm-size", "", "", "size of the steps' /dev/shm")
	text(&v.sourcePolicy, "source-policy-file", "", "", "apply a BuildKit source policy")
	list(&v.ssh, "ssh", "", "offer an SSH agent or keys: default, or ID=SOCKET, or ID=KEYFILE")
	list(&v.tags, "tag", "t", "name the image: NAME or NAME:TAG")
	text(&v.target, "target", "", "", "build this stage")
	list(&v.ulimits, "ulimit", "", "limit the steps: NAME=SOFT[:HARD]")
	v.addOld(f)
}

// addOld declares what docker keeps for command lines of earlier days.
func (v *values) addOld(f *pflag.FlagSet) {
	f.StringVar(&v.call, "print", "build", "call")
	f.StringVarP(&v.memory, "memory", "m", "", "memory limit of the steps")
	f.StringVar(&v.memorySwap, "memory-swap", "", "limit of memory and swap of the steps")
	f.Int64VarP(&v.cpuShares, "cpu-shares", "c", 0, "relative weight of the steps")
	f.Int64Var(&v.cpuPeriod, "cpu-period", 0, "period of the steps' CPU quota")
	f.Int64Var(&v.cpuQuota, "cpu-quota", 0, "CPU quota of the steps")
	f.StringVar(&v.cpuset, "cpuset-cpus", "", "CPUs of the steps")
	f.StringVar(&v.cpusetMems, "cpuset-mems", "", "memory nodes of the steps")
	f.BoolVar(&v.ignored, "compress", false, "nothing: contexts are streamed")
	f.BoolVar(&v.ignored, "disable-content-trust", true, "nothing")
	f.BoolVar(&v.ignored, "force-rm", false, "nothing: no step leaves a container behind")
	f.StringVar(&v.isolation, "isolation", "", "nothing")
	f.BoolVar(&v.ignored, "rm", true, "nothing: no step leaves a container behind")
	f.StringArrayVar(&v.securityOpt, "security-opt", nil, "nothing: see RUN --security")
	f.BoolVar(&v.squash, "squash", false, "nothing: use a stage and COPY --from")
	for _, name := range []string{
		"print", "memory", "memory-swap", "cpu-shares", "cpu-period", "cpu-quota", "cpuset-cpus", "cpuset-mems", "builder", "buildkit-host",
		"compress", "disable-content-trust", "force-rm", "isolation", "rm", "security-opt", "squash", "policy",
	} {
		f.Lookup(name).Hidden = true
	}
}

// options turns the flags into a build of a context.
func (v *values) options(h options.Host, context string) (o options.Options, err error) {
	o = options.Options{
		Context: context, File: v.file, Target: v.target, Platforms: v.platforms,
		NoCache: v.noCache, NoCacheFilter: splitAll(v.noCacheFilter), Pull: v.pull,
		Tags: v.tags, Annotations: v.annotations, Network: v.network, AddHosts: splitAll(v.addHosts),
		CgroupParent: v.cgroupParent, SourcePolicy: v.sourcePolicy,
	}
	if len(o.Platforms) == 0 {
		if p, _ := h.LookupEnv("DOCKER_DEFAULT_PLATFORM"); p != "" {
			o.Platforms = []string{p}
		}
	}
	if err := v.refuse(); err != nil {
		return o, err
	}
	for _, read := range []func(*options.Options, options.Host) error{v.readNames, v.readSession, v.readResults, v.readLimits} {
		if err := read(&o, h); err != nil {
			return o, err
		}
	}
	return o, nil
}

// refuse ends command lines that ask for what is not here.
func (v *values) refuse() error {
	switch {
	case v.builder != "" && v.builder != "default":
		return cli.Usage(fmt.Errorf("--builder: there is no builder %q", v.builder), "leave it out: there is one, the engine's")
	case v.buildkitHost != "":
		return cli.Usage(fmt.Errorf("--buildkit-host %s: linnet builds with its own BuildKit", v.buildkitHost), "leave it out, or `linnet nerdctl build --buildkit-host ...`")
	}
	for _, p := range v.policies {
		if p != "disabled=true" {
			return cli.Usage(fmt.Errorf("--policy %s: linnet does not read docker's policies", p), "--source-policy-file takes a BuildKit source policy; --policy disabled=true says that there is none")
		}
	}
	return nil
}

func (v *values) readNames(o *options.Options, h options.Host) (err error) {
	if o.Args, err = options.ParseArgs(v.args, h.LookupEnv); err != nil {
		return err
	}
	if o.Labels, err = options.ParseLabels(v.labels); err != nil {
		return err
	}
	o.Contexts, err = options.ParseContexts(v.contexts)
	return err
}

func (v *values) readSession(o *options.Options, h options.Host) error {
	for _, value := range v.secrets {
		s, err := options.ParseSecret(value, h.LookupEnv)
		if err != nil {
			return err
		}
		o.Secrets = append(o.Secrets, s)
	}
	for _, value := range v.ssh {
		s, err := options.ParseSSH(value)
		if err != nil {
			return err
		}
		o.SSH = append(o.SSH, s)
	}
	return nil
}

func (v *values) readResults(o *options.Options, _ options.Host) (err error) {
	for _, value := range v.outputs {
		out, err := options.ParseOutput(value)
		if err != nil {
			return err
		}
		o.Outputs = append(o.Outputs, out)
	}
	o.Outputs = shorthands(o.Outputs, v.load, v.push)
	if o.Attests, err = options.ParseAttests(v.attests, v.provenance, v.sbom); err != nil {
		return err
	}
	for _, value := range v.cacheFrom {
		c, err := options.ParseCache("cache-from", value)
		if err != nil {
			return err
		}
		o.CacheFrom = append(o.CacheFrom, c...)
	}
	for _, value := range v.cacheTo {
		c, err := options.ParseCache("cache-to", value)
		if err != nil {
			return err
		}
		o.CacheTo = append(o.CacheTo, c...)
	}
	return nil
}

// shorthands are --load and --push, as outputs.
func shorthands(outputs []options.Output, load, push bool) []options.Output {
	if load && push && len(outputs) == 0 {
		return []options.Output{{Type: "image", Attrs: map[string]string{"push": "true"}}}
	}
	if load {
		outputs = append(outputs, options.Output{Type: "docker"})
	}
	if !push {
		return outputs
	}
	for i := range outputs {
		if outputs[i].Type == "image" {
			outputs[i].Attrs["push"] = "true"
			return outputs
		}
	}
	return append(outputs, options.Output{Type: "registry"})
}

// The names that BuildKit has for docker's limits.
var limits = map[string]string{
	"memory": "memory", "memory-swap": "memswap", "cpu-shares": "cpushares", "cpu-period": "cpuperiod",
	"cpu-quota": "cpuquota", "cpuset-cpus": "cpusetcpus", "cpuset-mems": "cpusetmems",
}

func (v *values) readLimits(o *options.Options, _ options.Host) error {
	for _, allowed := range v.allow {
		o.Allow = append(o.Allow, strings.Split(allowed, ",")...)
	}
	for _, u := range v.ulimits {
		got, err := units.ParseUlimit(u)
		if err != nil {
			return &hint.Error{Err: fmt.Errorf("--ulimit %q: %w", u, err), Fix: "NAME=SOFT[:HARD], such as nofile=1024:2048"}
		}
		o.Ulimits = append(o.Ulimits, got.String())
	}
	if v.shmSize != "" {
		size, err := units.RAMInBytes(v.shmSize)
		if err != nil {
			return sizeError("shm-size", v.shmSize)
		}
		o.ShmSize = size
	}
	given := map[string]string{"memory": v.memory, "memory-swap": v.memorySwap, "cpuset-cpus": v.cpuset, "cpuset-mems": v.cpusetMems}
	for name, n := range map[string]int64{"cpu-shares": v.cpuShares, "cpu-period": v.cpuPeriod, "cpu-quota": v.cpuQuota} {
		if n != 0 {
			given[name] = strconv.FormatInt(n, 10)
		}
	}
	for _, r := range v.resources {
		name, value, ok := strings.Cut(r, "=")
		if _, known := limits[name]; !ok || !known {
			return &hint.Error{Err: fmt.Errorf("--resource %q: there is no such limit", r), Fix: "memory=, memory-swap=, cpu-shares=, cpu-period=, cpu-quota=, cpuset-cpus=, cpuset-mems="}
		}
		given[name] = value
	}
	o.Resources = map[string]string{}
	for name, value := range given {
		if value == "" {
			continue
		}
		if strings.HasPrefix(name, "memory") && value != "-1" {
			size, err := units.RAMInBytes(value)
			if err != nil {
				return sizeError(name, value)
			}
			value = strconv.FormatInt(size, 10)
		}
		o.Resources[limits[name]] = value
	}
	return nil
}

func sizeError(flag, value string) error {
	return &hint.Error{Err: fmt.Errorf("--%s: %q is not a size", flag, value), Fix: "a number with k, m or g, such as 256m"}
}

func splitAll(values []string) (all []string) {
	for _, v := range values {
		all = append(all, strings.Split(v, ",")...)
	}
	return all
}

// warnings are what docker says of flags that mean nothing any more.
func (v *values) warnings() (all []string) {
	if v.isolation != "" && v.isolation != "default" {
		all = append(all, "--isolation means nothing to BuildKit")
	}
	if len(v.securityOpt) > 0 {
		all = append(all, "--security-opt means nothing to BuildKit: see RUN --security in the Dockerfile")
	}
	if v.squash {
		all = append(all, "--squash means nothing to BuildKit: use a stage and COPY --from")
	}
	return all
}

var errContext = errors.New("build takes one context")
