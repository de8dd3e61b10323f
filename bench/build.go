//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// build makes the collector and the hpcloud/tail follower from the module, as they would be shipped.
func build(ctx context.Context, module, into string) (ours, hpcloud string, err error) {
	ours, hpcloud = filepath.Join(into, "logcatchsys"), filepath.Join(into, "hpcloudtail")
	for pkg, out := range map[string]string{".": ours, "./bench/hpcloudtail": hpcloud} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", out, pkg)
		cmd.Dir = module
		if said, err := cmd.CombinedOutput(); err != nil {
			return "", "", fmt.Errorf("building %s: %w\n%s", pkg, err, said)
		}
	}
	return ours, hpcloud, nil
}
