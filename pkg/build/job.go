package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/identity"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/util/entitlements"
	"github.com/tonistiigi/fsutil"

	"github.com/linnet-dev/linnet/pkg/build/localdir"
	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/build/state"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/report"
)

// job is a build that has been checked and is ready to be sent.
type job struct {
	opt   client.SolveOpt
	attrs map[string]string // the frontend's, the same map as in opt
	file  localdir.Dockerfile
	dir   string // the context, where it is a directory
	// mounts are the directories that BuildKit may ask for, by the names that it has for them; open are
	// those of this host.
	mounts map[string]fsutil.FS
	open   []localdir.Dir
	// dropped is what results have lost on their way to this host.
	dropped *report.Dropped
	// unpack says that the image store shall have the result unpacked, rewritten that the
	// exporter does not do that.
	unpack, rewritten bool

	// lost calls the build off; set while it runs.
	lost    context.CancelCauseFunc
	options options.Options
	pending []*pending        // the results that are files
	answers map[string]string // what the frontend said when it was asked
	env     envProgram
	// begun says that the frontend runs.
	begun atomic.Bool
	// failed is why nothing could be made of the Dockerfile: what comes back from BuildKit, which is told,
	// has lost some of its words on the way.
	failed error
	// named and unnamed are the session's, or nil.
	named   func(registries ...string)
	unnamed func()
	// see, when set, is shown what is to be built before it is.
	see func(context.Context, *gateway.Result) error
}

func (j *job) close() {
	for _, p := range j.pending {
		p.drop()
	}
	for _, f := range j.open {
		f.Close()
	}
}

// commit gives the results that are files their names.
func (j *job) commit() error {
	for _, p := range j.pending {
		if err := p.commit(); err != nil {
			return err
		}
	}
	return nil
}

// lose calls the build off because of something on the host that BuildKit cannot be told.
func (j *job) lose(err error) {
	if j.lost != nil {
		j.lost(err)
	}
}

// prepare turns options into what BuildKit is sent. Everything that the user can have got wrong
// on the host is found here.
func (s Session) prepare(ctx context.Context, o options.Options) (*job, error) {
	j := &job{
		attrs: map[string]string{}, options: o, mounts: map[string]fsutil.FS{}, dropped: &report.Dropped{},
		named: s.Named, unnamed: s.Unnamed,
	}
	j.opt = client.SolveOpt{
		Frontend: ownFrontend, FrontendAttrs: j.attrs, Ref: identity.NewID(),
		// BuildKit keeps no record of it: linnet does not read it, and writing it takes a third of what a build of
		// one changed line takes.
		Internal: true,
	}
	if err := s.fill(ctx, j, o); err != nil {
		j.close()
		return nil, err
	}
	return j, nil
}

func (s Session) fill(ctx context.Context, j *job, o options.Options) error {
	if err := j.addContext(ctx, s.Host, o); err != nil {
		return err
	}
	if j.dir != "" {
		j.opt.SharedKey = sharedKey(j.dir)
	}
	if err := j.addContexts(s.Host, o.Contexts); err != nil {
		return err
	}
	for _, add := range []func(options.Host, options.Options) error{j.addAttrs, j.addPlatforms, j.addRunAttrs, j.addSyntax, j.addOutputs, j.addCaches, j.addPolicy} {
		if err := add(s.Host, o); err != nil {
			return err
		}
	}
	s.addImported(j, o)
	j.offerEnv(s.Host.EnvProgram)
	j.nameOptions()
	return s.attach(j, o)
}

// addAttrs are the options that the frontend takes as they are.
func (j *job) addAttrs(h options.Host, o options.Options) error {
	for name, value := range o.Args {
		j.attrs["build-arg:"+name] = value
	}
	if _, ok := o.Args["SOURCE_DATE_EPOCH"]; !ok {
		if v := h.Env("SOURCE_DATE_EPOCH"); v != "" {
			j.attrs["build-arg:SOURCE_DATE_EPOCH"] = v
		}
	}
	if o.CacheMounts != "" {
		if _, ok := o.Args["BUILDKIT_CACHE_MOUNT_NS"]; !ok {
			j.attrs["build-arg:BUILDKIT_CACHE_MOUNT_NS"] = o.CacheMounts
		}
	}
	for key, value := range o.Labels {
		j.attrs["label:"+key] = value
	}
	for kind, value := range o.Attests {
		if value != options.Disabled {
			j.attrs["attest:"+kind] = value
		}
	}
	if o.Target != "" {
		j.attrs["target"] = o.Target
	}
	// As docker: an image that is here is meant, and its registry is not asked whether it has
	// another of that name.
	j.attrs["image-resolve-mode"] = "local"
	if o.Pull {
		j.attrs["image-resolve-mode"] = "pull"
	}
	if len(o.NoCacheFilter) > 0 {
		j.attrs["no-cache"] = strings.Join(o.NoCacheFilter, ",")
	}
	if o.NoCache {
		j.attrs["no-cache"] = "" // all stages
	}
	if o.Request != "" {
		j.attrs["requestid"] = "frontend." + o.Request
		j.attrs["frontend.caps"] = "moby.buildkit.frontend.subrequests"
	}
	return nil
}

// addPlatforms checks the platforms' spelling; what can be run is the engine's to say.
func (j *job) addPlatforms(_ options.Host, o options.Options) error {
	var all []string
	for _, value := range o.Platforms {
		for _, p := range strings.Split(value, ",") {
			if p == "local" {
				continue // the engine's own is the default
			}
			full := p
			if !strings.Contains(p, "/") {
				full = "linux/" + p // whatever this machine runs
			}
			got, err := platforms.Parse(full)
			if err != nil || !knownSystem(got.OS) || !knownArch(got.Architecture) {
				return options.FlagError("platform", p, errors.New("there is no such platform"), "OS/ARCH, such as linux/amd64 or linux/arm64")
			}
			if f := platforms.Format(platforms.Normalize(got)); !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
	}
	if len(all) > 0 {
		j.attrs["platform"] = strings.Join(all, ",")
	}
	return nil
}

func knownSystem(name string) bool {
	return slices.Contains([]string{"linux", "windows", "darwin", "freebsd", "wasi", "js"}, name)
}

func knownArch(name string) bool {
	return slices.Contains([]string{
		"386", "amd64", "arm", "arm64", "loong64", "mips", "mipsle", "mips64", "mips64le", "ppc64", "ppc64le", "riscv64", "s390x", "wasm",
	}, name)
}

// addRunAttrs are what the containers of RUN steps get.
func (j *job) addRunAttrs(_ options.Host, o options.Options) error {
	for _, e := range o.Allow {
		if _, _, err := entitlements.Parse(e); err != nil {
			return options.FlagError("allow", e, errors.New("nothing of that name can be allowed"), "one of network.host, security.insecure, device")
		}
	}
	j.opt.AllowedEntitlements = slices.Clone(o.Allow)
	switch o.Network {
	case "", "default":
	case "none":
		j.attrs["force-network-mode"] = "none"
	case "host":
		if !slices.Contains(o.Allow, "network.host") {
			return options.FlagError("network", "host", errors.New("steps would share the engine's network"), "add --allow network.host to let them")
		}
		j.attrs["force-network-mode"] = "host"
	default:
		return options.FlagError("network", o.Network, errors.New("there is no such network for builds"), "one of default, none, host")
	}
	hosts, err := addHosts(o.AddHosts)
	if err != nil {
		return err
	}
	if hosts != "" {
		j.attrs["add-hosts"] = hosts
	}
	if o.ShmSize > 0 {
		j.attrs["shm-size"] = strconv.FormatInt(o.ShmSize, 10)
	}
	if len(o.Ulimits) > 0 {
		j.attrs["ulimit"] = strings.Join(o.Ulimits, ",")
	}
	if o.CgroupParent != "" {
		j.attrs["cgroup-parent"] = o.CgroupParent
	}
	maps.Copy(j.attrs, o.Resources)
	return nil
}

// addHosts turns NAME:IP and NAME=IP, with several addresses separated by commas, into BuildKit's
// form. An IPv6 address may stand in brackets.
func addHosts(values []string) (string, error) {
	var all []string
	for _, value := range values {
		name, ips, ok := strings.Cut(value, "=")
		if !ok {
			name, ips, ok = strings.Cut(value, ":")
		}
		if !ok || name == "" {
			return "", options.FlagError("add-host", value, errors.New("it is not of the form NAME:IP"), "")
		}
		for _, ip := range strings.Split(ips, ",") {
			ip = strings.TrimSuffix(strings.TrimPrefix(ip, "["), "]")
			if net.ParseIP(ip) == nil {
				return "", options.FlagError("add-host", value, fmt.Errorf("%q is not an IP address", ip), "")
			}
			all = append(all, name+"="+ip)
		}
	}
	return strings.Join(all, ","), nil
}

// addCaches are where build cache is read and written; local ones are directories of the host.
func (j *job) addCaches(h options.Host, o options.Options) error {
	for _, c := range o.CacheFrom {
		attrs := maps.Clone(c.Attrs)
		if c.Type == "local" {
			attrs["src"] = h.Abs(attrs["src"])
			if _, err := os.Stat(attrs["src"]); err != nil {
				continue // the first build has none
			}
		}
		j.opt.CacheImports = append(j.opt.CacheImports, client.CacheOptionsEntry{Type: c.Type, Attrs: attrs})
	}
	for _, c := range o.CacheTo {
		attrs := maps.Clone(c.Attrs)
		if c.Type == "local" {
			attrs["dest"] = h.Abs(attrs["dest"])
		}
		j.opt.CacheExports = append(j.opt.CacheExports, client.CacheOptionsEntry{Type: c.Type, Attrs: attrs})
	}
	if on, _ := strconv.ParseBool(o.Args["BUILDKIT_INLINE_CACHE"]); on {
		j.opt.CacheExports = append(j.opt.CacheExports, client.CacheOptionsEntry{Type: "inline", Attrs: map[string]string{}})
	}
	return nil
}

// addImported has a build look into imported cache of its project. Cache whose project is not known
// may be anybody's, and a build that belongs to none may be of any.
func (s Session) addImported(j *job, o options.Options) {
	if o.NoCache || o.Request != "" {
		return
	}
	for _, c := range state.Imported(s.Layout) {
		if c.Project != "" && o.Project != "" && c.Project != o.Project {
			continue
		}
		attrs := map[string]string{"src": filepath.Join(s.Layout.ImportedCache(), c.Tag), "tag": c.Tag}
		j.opt.CacheImports = append(j.opt.CacheImports, client.CacheOptionsEntry{Type: "local", Attrs: attrs})
	}
}

// cacheImports are where build cache is read, as a frontend says it.
func (j *job) cacheImports() (all []gateway.CacheOptionsEntry) {
	for _, i := range j.opt.CacheImports {
		all = append(all, gateway.CacheOptionsEntry{Type: i.Type, Attrs: i.Attrs})
	}
	return all
}

// addPolicy reads a source policy: which sources a build may have, and what they are replaced by.
func (j *job) addPolicy(h options.Host, o options.Options) error {
	path := o.SourcePolicy
	if path == "" {
		path = h.Env("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY")
	}
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(h.Abs(path))
	if err != nil {
		return fmt.Errorf("reading the source policy %s: %w", path, hint.Cause(err))
	}
	var policy spb.Policy
	if err := json.Unmarshal(text, &policy); err != nil {
		return fmt.Errorf("reading the source policy %s: %w", path, err)
	}
	j.opt.SourcePolicy = &policy
	return nil
}
