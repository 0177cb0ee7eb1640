package plan

import (
	"reflect"
	"slices"
	"strings"
)

// Verdict is what is done with a key of a compose file.
type Verdict string

// The verdicts.
const (
	// Honoured is done by reading the file, by a plan, or by the command line.
	Honoured Verdict = "honoured"
	// Executors is done by the executor of a plan, and by builds: it is part of a step's Config.
	Executors Verdict = "executor's"
	// Warned is told of once and has no effect; Refused ends a command before anything is started.
	Warned  Verdict = "warned"
	Refused Verdict = "refused"
)

// Key is a key of the specification as compose-go knows it, and what is done with it.
type Key struct {
	// Path is the key's place without names: "services.deploy.replicas".
	Path    string
	Verdict Verdict
	// Reason is why it is warned of or refused.
	Reason string
}

// keys are groups of keys with one verdict, below a place. What is below a refused key needs no line. The keys of services.pre_start are
// services' own.
var keys = []struct {
	below   string
	verdict Verdict
	names   string
}{
	{"", Honoured, "name services networks volumes secrets configs include"},
	{"", Refused, "jobs models"},
	{"include.", Honoured, "path project_directory env_file"},

	{"services.", Honoured, "attach build container_name depends_on deploy develop env_file expose extends image label_file labels links networks ports post_start pre_start pre_stop profiles pull_policy pull_refresh_after scale stop_grace_period volumes volumes_from"},
	{"services.", Honoured, "cgroup ipc network_mode pid uts"},
	{"services.", Executors, "annotations blkio_config cap_add cap_drop cgroup_parent command configs cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint environment external_links extra_hosts gpus group_add healthcheck hostname init logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit oom_score_adj pids_limit platform privileged read_only restart runtime secrets security_opt shm_size stdin_open stop_signal storage_opt sysctls tmpfs tty ulimits umask user userns_mode volume_driver working_dir"},
	{"services.", Warned, "cpu_count cpu_percent oom_kill_disable"},
	{"services.", Refused, "credential_spec dockerfile isolation log_driver log_opt models net provider use_api_socket"},

	{"services.blkio_config.", Executors, "weight weight_device device_read_bps device_read_iops device_write_bps device_write_iops"},
	{"services.blkio_config.weight_device.", Executors, "path weight"},
	{"services.blkio_config.device_read_bps.", Executors, "path rate"},
	{"services.blkio_config.device_read_iops.", Executors, "path rate"},
	{"services.blkio_config.device_write_bps.", Executors, "path rate"},
	{"services.blkio_config.device_write_iops.", Executors, "path rate"},
	{"services.build.", Executors, "additional_contexts args cache_from cache_to context dockerfile dockerfile_inline entitlements extra_hosts labels network no_cache no_cache_filter platforms privileged provenance pull sbom secrets shm_size ssh tags target ulimits"},
	{"services.build.", Warned, "isolation"},
	{"services.build.secrets.", Executors, "source target uid gid mode"},
	{"services.build.ssh.", Executors, "id path"},
	{"services.build.ulimits.", Executors, "single soft hard"},
	{"services.configs.", Executors, "source target uid gid mode"},
	{"services.depends_on.", Honoured, "condition required restart"},
	{"services.deploy.", Honoured, "replicas resources restart_policy mode"},
	{"services.deploy.", Warned, "labels update_config rollback_config placement endpoint_mode"},
	{"services.deploy.update_config.", Warned, "parallelism delay failure_action monitor max_failure_ratio order"},
	{"services.deploy.rollback_config.", Warned, "parallelism delay failure_action monitor max_failure_ratio order"},
	{"services.deploy.placement.", Warned, "constraints preferences max_replicas_per_node"},
	{"services.deploy.placement.preferences.", Warned, "spread"},
	{"services.deploy.resources.", Executors, "limits reservations"},
	{"services.deploy.resources.limits.", Executors, "cpus memory pids devices"},
	{"services.deploy.resources.limits.", Warned, "generic_resources"},
	{"services.deploy.resources.limits.devices.", Executors, "capabilities driver count device_ids options"},
	{"services.deploy.resources.limits.generic_resources.", Warned, "discrete_resource_spec"},
	{"services.deploy.resources.limits.generic_resources.discrete_resource_spec.", Warned, "kind value"},
	{"services.deploy.resources.reservations.", Executors, "cpus memory pids devices"},
	{"services.deploy.resources.reservations.", Warned, "generic_resources"},
	{"services.deploy.resources.reservations.devices.", Executors, "capabilities driver count device_ids options"},
	{"services.deploy.resources.reservations.generic_resources.", Warned, "discrete_resource_spec"},
	{"services.deploy.resources.reservations.generic_resources.discrete_resource_spec.", Warned, "kind value"},
	{"services.deploy.restart_policy.", Executors, "condition delay max_attempts window"},
	{"services.develop.", Honoured, "watch"},
	{"services.develop.watch.", Honoured, "path action target exec include ignore initial_sync"},
	{"services.develop.watch.exec.", Honoured, "command user privileged working_dir environment"},
	{"services.devices.", Executors, "source target permissions"},
	{"services.env_file.", Honoured, "path required format"},
	{"services.extends.", Honoured, "file service"},
	{"services.gpus.", Executors, "capabilities driver count device_ids options"},
	{"services.healthcheck.", Executors, "test timeout interval retries start_period start_interval disable"},
	{"services.logging.", Executors, "driver options"},
	{"services.networks.", Honoured, "aliases priority use_service_name_alias"},
	{"services.networks.", Executors, "driver_opts gw_priority interface_name ipv4_address ipv6_address link_local_ips mac_address"},
	{"services.ports.", Honoured, "name app_protocol"},
	{"services.ports.", Executors, "mode host_ip target published protocol"},
	{"services.pre_start.", Honoured, "per_replica"},
	{"services.post_start.", Executors, "command user privileged working_dir environment"},
	{"services.pre_stop.", Executors, "command user privileged working_dir environment"},
	{"services.secrets.", Executors, "source target uid gid mode"},
	{"services.ulimits.", Executors, "single soft hard"},
	{"services.volumes.", Executors, "type source target read_only consistency bind volume tmpfs image"},
	{"services.volumes.bind.", Executors, "selinux propagation create_host_path recursive"},
	{"services.volumes.volume.", Executors, "labels nocopy subpath"},
	{"services.volumes.tmpfs.", Executors, "size mode"},
	{"services.volumes.image.", Executors, "subpath"},

	{"networks.", Honoured, "name external labels attachable"},
	{"networks.", Executors, "driver driver_opts ipam internal enable_ipv4 enable_ipv6"},
	{"networks.ipam.", Executors, "driver config options"},
	{"networks.ipam.config.", Executors, "subnet gateway ip_range aux_addresses"},
	{"volumes.", Honoured, "name external labels"},
	{"volumes.", Executors, "driver driver_opts"},
	{"secrets.", Honoured, "name external"},
	{"secrets.", Executors, "file environment content"},
	{"secrets.", Warned, "labels driver driver_opts template_driver"},
	{"configs.", Honoured, "name external"},
	{"configs.", Executors, "file environment content"},
	{"configs.", Warned, "labels driver driver_opts template_driver"},
}

const noSwarm = "it means something to a swarm, and there is none"

// reasons are why keys are warned of or refused; noSwarm is that of those that are not here.
var reasons = map[string]string{
	"jobs":                      "jobs are not run",
	"models":                    "there is no runner of models",
	"services.models":           "there is no runner of models",
	"services.provider":         "providers are not run",
	"services.credential_spec":  "it is for Windows",
	"services.isolation":        "it is for Windows",
	"services.build.isolation":  "it is for Windows",
	"services.cpu_count":        "it is for Windows",
	"services.cpu_percent":      "it is for Windows",
	"services.oom_kill_disable": "the kernel no longer has it",
	"services.use_api_socket":   "no Docker socket is handed to containers",
	"services.dockerfile":       "the specification has it in build",
	"services.log_driver":       "the specification has it in logging",
	"services.log_opt":          "the specification has it in logging",
	"services.net":              "the specification calls it network_mode",
}

// Keys are all keys of the specification that compose-go knows, by path, each with what is done with it.
func Keys() (all []Key) {
	for _, group := range keys {
		for name := range strings.FieldsSeq(group.names) {
			k := Key{Path: group.below + name, Verdict: group.verdict}
			if k.Verdict == Warned || k.Verdict == Refused {
				if k.Reason = reasons[k.Path]; k.Reason == "" {
					k.Reason = noSwarm
				}
			}
			all = append(all, k)
		}
	}
	slices.SortFunc(all, func(a, b Key) int { return strings.Compare(a.Path, b.Path) })
	return all
}

// index is Keys by path.
func index() map[string]Key {
	all := map[string]Key{}
	for _, k := range Keys() {
		all[k.Path] = k
	}
	return all
}

// keyOf finds a key; those of pre_start are services'.
func keyOf(all map[string]Key, path string) (Key, bool) {
	k, ok := all[path]
	if rest, hook := strings.CutPrefix(path, "services.pre_start."); hook && !ok {
		k, ok = all["services."+rest]
	}
	return k, ok
}

// fields calls do for each field of a struct of compose-go's that is a key, with its name in a file.
func fields(t reflect.Type, do func(index []int, name string)) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("yaml")
		name, _, _ := strings.Cut(tag, ",")
		if name == "" {
			name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
		}
		switch {
		case !f.IsExported() || name == "-" || f.Tag.Get("json") == "-": // extensions, and what reading sets
		case f.Anonymous:
			fields(f.Type, func(below []int, name string) { do(append([]int{i}, below...), name) })
		case name == "":
			do([]int{i}, strings.ToLower(f.Name))
		default:
			do([]int{i}, name)
		}
	}
}
