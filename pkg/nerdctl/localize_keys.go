package nerdctl

import "strings"

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
