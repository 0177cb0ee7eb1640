package nerdctl

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// decryptionKey localizes FILE[:PASSWORD].
func (l *localizer) decryptionKey(item string) (string, error) {
	file, password, ok := strings.Cut(item, ":")
	if file == "provider" || file == "pkcs11" {
		return item, nil
	}
	if file = l.readable(file); ok {
		return file + ":" + password, nil
	}
	return file, nil
}

// recipient localizes the key file of PROTOCOL:FILE.
func (l *localizer) recipient(item string) (string, error) {
	switch protocol, file, _ := strings.Cut(item, ":"); protocol {
	case "jwe", "pkcs7", "pkcs11":
		return protocol + ":" + l.readable(file), nil
	}
	return item, nil
}

// namedContext localizes NAME=DIRECTORY and NAME=oci-layout://DIRECTORY.
func (l *localizer) namedContext(value string) (string, error) {
	name, context, ok := strings.Cut(value, "=")
	if !ok || strings.HasPrefix(context, "target:") {
		return value, nil
	}
	scheme, dir, hasScheme := strings.Cut(context, "://")
	if !hasScheme {
		there, err := l.visible(context, false)
		return name + "=" + there, err
	}
	if scheme != "oci-layout" {
		return value, nil
	}
	dir, digest, _ := strings.Cut(dir, "@")
	there, err := l.visible(dir, false)
	if digest != "" {
		there += "@" + digest
	}
	return name + "=" + scheme + "://" + there, err
}

// secret localizes id=ID[,src=FILE|,env=NAME]. With neither, the builder takes the variable
// called ID, and failing that the file.
func (l *localizer) secret(value string) string {
	fields := strings.Split(value, ",")
	var id string
	found := false
	for i, field := range fields {
		switch key, v, _ := strings.Cut(field, "="); strings.ToLower(key) {
		case "id":
			id = v
		case "src", "source":
			fields[i], found = key+"="+l.readable(v), true
		case "env":
			l.carry(v)
			found = true
		}
	}
	if found || id == "" {
		return strings.Join(fields, ",")
	}
	if _, set := l.host.LookupEnv(id); set {
		l.carry(id)
		return value
	}
	if there := l.readable(id); there != id {
		fields = append(fields, "src="+there)
	}
	return strings.Join(fields, ",")
}

// carry takes a variable along that is only read by name; one that nerdctl itself goes by is left to be what it is in
// the guest.
func (l *localizer) carry(name string) {
	if name == "" || Allowed(name) {
		return
	}
	if value, set := l.host.LookupEnv(name); set {
		l.setEnv(name, &value)
	} else {
		l.setEnv(name, nil)
	}
}

// ssh localizes ID[=SOCKET|KEY[,KEY]]. A socket cannot be carried, so without paths the
// user's agent has to be where the engine can reach it.
func (l *localizer) ssh(value string) (string, error) {
	id, paths, ok := strings.Cut(value, "=")
	if ok {
		files := strings.Split(paths, ",")
		for i := range files {
			files[i] = l.readable(files[i])
		}
		return id + "=" + strings.Join(files, ","), nil
	}
	sock, set := l.host.LookupEnv("SSH_AUTH_SOCK")
	if !set || sock == "" {
		return value, nil
	}
	there, err := l.visible(sock, false)
	if err != nil {
		return "", fmt.Errorf("--ssh %s: %w", value, errors.Join(errAgent, err))
	}
	return id + "=" + there, nil
}

var errAgent = errors.New("the SSH agent's socket is not where the engine could reach it")

// output localizes DIRECTORY or type=TYPE,dest=PATH.
func (l *localizer) output(value string) (string, error) {
	if !strings.Contains(value, "type=") {
		return l.visible(value, true)
	}
	return l.fields(value, true, "dest")
}

// cache localizes the directories of a local cache.
func (l *localizer) cache(value string) (string, error) {
	if !slices.Contains(strings.Split(value, ","), "type=local") {
		return value, nil
	}
	value, err := l.fields(value, false, "src")
	if err != nil {
		return "", err
	}
	return l.fields(value, true, "dest")
}

// fields localizes the path under one key of key=value,...
func (l *localizer) fields(value string, write bool, key string) (string, error) {
	fields := strings.Split(value, ",")
	for i, field := range fields {
		path, ok := strings.CutPrefix(field, key+"=")
		if !ok {
			continue
		}
		there, err := l.visible(path, write)
		if err != nil {
			return "", err
		}
		fields[i] = key + "=" + there
	}
	return strings.Join(fields, ","), nil
}
