//go:build !linux

package native

import "errors"

func mountBinfmt(string) error { return errors.ErrUnsupported }
