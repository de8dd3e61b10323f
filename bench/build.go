//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// binaries are the paths of the programs that are made from the module.
type binaries struct {
	ours, hpcloud string
	limit, farEnd string // of the outputs over a network
}

// build makes them as they would be shipped.
func build(ctx context.Context, module, into string) (binaries, error) {
	at := func(name string) string { return filepath.Join(into, name) }
	made := binaries{at("logcatchsys"), at("hpcloudtail"), at("limit"), at("farend")}
	for pkg, out := range map[string]string{
		".": made.ours, "./bench/hpcloudtail": made.hpcloud, "./bench/limit": made.limit, "./bench/farend": made.farEnd,
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", out, pkg)
		cmd.Dir = module
		if said, err := cmd.CombinedOutput(); err != nil {
			return made, fmt.Errorf("building %s: %w\n%s", pkg, err, said)
		}
	}
	return made, nil
}
