package doctor

import (
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// networkChecks are about what this host reaches, and by which way.
func networkChecks() []Check {
	return []Check{
		{
			ID: "dns", Title: "name servers", judge: judgeDNS,
			Looks: "the name servers in /etc/resolv.conf, each asked once, for a fifth of a second at most",
			Why:   "pulls end with \"no such host\"; containers ask the same servers",
		},
		{
			ID: "proxy", Title: "proxies", judge: judgeProxy,
			Looks: "the variables for proxies, in upper and lower case, and Docker's configuration",
			Why:   "programs read one or another of them, so one that differs makes some fail",
		},
		{
			ID: "registry", Title: "registries", judge: judgeRegistry, Network: true,
			Looks: "docker.io and the registries that you are logged in to: whether each answers",
			Why:   "nothing is pulled from a registry that is not reached",
		},
	}
}

func judgeDNS(f *Facts) (found []Finding) {
	d := f.DNS
	if d.File == "" {
		return nil
	}
	const fix = "name one that answers there, or see whether this machine's network is up"
	switch {
	case d.Missing:
		return []Finding{failed("make it, with a line such as: nameserver 192.0.2.53", "there is no %s", d.File)}
	case len(d.Servers) == 0:
		return []Finding{failed(fix, "%s names no server", d.File)}
	}
	var answered, silent, local []string
	asked := false
	for _, s := range d.Servers {
		asked = asked || s.Asked
		switch {
		case s.Answered:
			answered = append(answered, s.Address)
		case s.Asked:
			silent = append(silent, s.Address)
		}
		if a, err := netip.ParseAddr(s.Address); err == nil && a.IsLoopback() {
			local = append(local, s.Address)
		}
	}
	switch {
	case asked && len(answered) == 0:
		found = append(found, failed(fix, "none of the servers in %s answers: %s", d.File, strings.Join(silent, ", ")))
	case len(silent) > 0:
		found = append(found, warning(fix, "%s does not answer: each look-up may wait for it first", strings.Join(silent, ", ")))
	}
	if len(local) == len(d.Servers) && !slices.Contains(local, "127.0.0.53") {
		found = append(found, warning("run containers with --dns, or name another server there", "%s names servers on this machine alone (%s), which containers do not reach: they ask public ones", d.File, strings.Join(local, ", ")))
	}
	return orOK(found, "%s: %s", d.File, strings.Join(addresses(d.Servers), ", "))
}

func addresses(servers []Server) (all []string) {
	for _, s := range servers {
		all = append(all, s.Address)
	}
	return all
}

// proxied are the variables that name a proxy.
var proxied = []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}

func judgeProxy(f *Facts) (found []Finding) {
	p := f.Proxy
	set := map[string]string{}
	for _, name := range append(slices.Clone(proxied), "NO_PROXY") {
		upper, lower := p.Upper[name], p.Lower[name]
		if upper != "" && lower != "" && upper != lower {
			found = append(found, warning("set both to the same, or one of them", "%s is %s, and %s is %s", name, Redacted(upper), strings.ToLower(name), Redacted(lower)))
		}
		if upper == "" {
			upper = lower
		}
		if upper != "" {
			set[name] = upper
		}
	}
	for _, name := range proxied {
		found = append(found, f.judgeOne(name, set[name])...)
	}
	if set["HTTP_PROXY"] != "" && set["HTTPS_PROXY"] == "" && set["ALL_PROXY"] == "" {
		found = append(found, warning("set HTTPS_PROXY, too", "HTTP_PROXY is set and HTTPS_PROXY is not: registries are reached without a proxy"))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Docker)) {
		if of, here := p.Docker[name], set[name]; of != here && name != "NO_PROXY" {
			found = append(found, warning("set both to the same", "%s is %s in Docker's configuration, and %s here", name, orNothing(of), orNothing(here)))
		}
	}
	if len(set) == 0 {
		return orOK(found, "none is set")
	}
	return orOK(found, "%s set", strings.Join(slices.Sorted(maps.Keys(set)), ", "))
}

// judgeOne judges the value of one variable.
func (f *Facts) judgeOne(name, value string) []Finding {
	if value == "" {
		return nil
	}
	text := value
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return []Finding{failed("set it to the like of http://proxy.example:3128, or unset it", "%s is no proxy's address: %s", name, Redacted(value))}
	}
	host := u.Hostname()
	a, err := netip.ParseAddr(host)
	if f.Backend == "lima" && (host == "localhost" || err == nil && a.IsLoopback()) {
		return []Finding{warning("name it by an address that the machine reaches", "%s is on this host's loopback (%s), which the virtual machine does not reach", name, Redacted(value))}
	}
	return nil
}

func orNothing(value string) string {
	if value == "" {
		return "not set"
	}
	return Redacted(value)
}

// Redacted is the address of a proxy without a user's name and password. What cannot be read as an address is not shown if it could hold one.
func Redacted(address string) string {
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		scheme, _, ok := strings.Cut(address, "://")
		if !ok || strings.Contains(scheme, "@") {
			return "***@" + address[at+1:]
		}
		return scheme + "://***@" + address[at+1:]
	}
	return address
}

func judgeRegistry(f *Facts) (found []Finding) {
	var well []string
	for _, r := range f.Registries {
		if r.Error != "" {
			found = append(found, failed("see whether this network lets it through, and what linnet doctor proxy dns says", "%s is not reached: %s", r.Name, r.Error))
			continue
		}
		well = append(well, r.Name)
	}
	return orOK(found, "%s: reached", strings.Join(well, ", "))
}
