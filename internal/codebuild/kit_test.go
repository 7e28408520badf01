// kit_test: the commands of ci/codebuild/buildspec.yml, with stand-ins for the programs they call.

package codebuild

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
)

// tools are the programs of the system that the kit's commands may call.
var tools = strings.Fields("base64 bash cat dirname mkdir mktemp rm sed sort tail tee tr")

// kit runs a command of the kit in dir. Its PATH has the given programs (name and bash text) and
// the tools, but nothing else that this machine may have.
func kit(t *testing.T, dir, command string, programs map[string]string, env ...string) (out string,
	code int) {
	t.Helper()
	bin := t.TempDir()
	for _, name := range tools {
		if err := os.Symlink(need.Program(t, name), filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/bash\n"+text),
			0o755); err != nil {
			t.Fatal(err)
		}
	}
	path, err := filepath.Abs("../../ci/codebuild/" + command)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + bin, "HOME=" + dir}, env...)
	text, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func TestRunBuilds(t *testing.T) {
	dir := t.TempDir()
	// The variant does not support aarch64. Its x86_64 build fails; that of the other variant does
	// not.
	fake := `echo "$@" >>calls
case "$*" in *aarch64*bad*) exit 6 ;; *bad*) printf 'no <such> \033[1mfile & more\n'; exit 3 ;; esac`
	out, code := kit(t, dir, "run-builds", map[string]string{"buildsys": fake},
		"BUILDSYS_CI_VARIANTS=bad good", "BUILDSYS_CI_ARCHES=aarch64 x86_64")
	if code != 3 {
		t.Errorf("exit code %d, want that of the failed build\n%s", code, out)
	}
	calls, _ := os.ReadFile(filepath.Join(dir, "calls"))
	want := "build-variant --arch aarch64 bad\nbuild-variant --arch aarch64 good\nbuild-variant " +
		"--arch x86_64 bad\nbuild-variant --arch x86_64 good\n"
	if string(calls) != want {
		t.Errorf("it ran\n%swant\n%s", calls, want)
	}
	data, err := os.ReadFile(filepath.Join(dir, "artifacts/report.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Skipped  int `xml:"skipped,attr"`
		Cases    []struct {
			Name    string  `xml:"name,attr"`
			Failure string  `xml:"failure"`
			Skipped *string `xml:"skipped"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(data, &report); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if report.Tests != 4 || report.Failures != 1 || report.Skipped != 1 || len(report.Cases) != 4 {
		t.Fatalf("the report has %+v", report)
	}
	if !strings.Contains(report.Cases[2].Failure, "no <such> [1mfile & more") ||
		report.Cases[0].Skipped == nil {
		t.Errorf("the report has %+v", report.Cases)
	}
}

func TestRunBuildsOfPackages(t *testing.T) {
	dir := t.TempDir()
	programs := map[string]string{"buildsys": `echo "$@" >>calls`}
	env := []string{"BUILDSYS_CI_VARIANTS=dev", "BUILDSYS_CI_ARCHES=x86_64",
		"BUILDSYS_CI_PACKAGES=acl attr"}
	if out, code := kit(t, dir, "run-builds", programs, env...); code != 2 ||
		!strings.Contains(out, "BUILDSYS_CACHE_TO is not set") {
		t.Errorf("without a remote cache: exit code %d\n%s", code, out)
	}
	if out, code := kit(t, dir, "run-builds", programs,
		append(env, "BUILDSYS_CACHE_TO=oci://x/y")...); code != 0 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if calls, _ := os.ReadFile(filepath.Join(dir,
		"calls")); string(calls) != "build-package --arch x86_64 --variant dev acl attr\n" {
		t.Errorf("it ran %q", calls)
	}
	if out, code := kit(t, dir, "run-builds", programs); code != 2 ||
		!strings.Contains(out, "names no variant") {
		t.Errorf("without variants: exit code %d\n%s", code, out)
	}
}

func TestRegistryLogin(t *testing.T) {
	const host = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
	helper := map[string]string{"docker-credential-ecr-login": "exit 1"}
	config := func(dir string) (c map[string]map[string]any) {
		data, err := os.ReadFile(filepath.Join(dir, ".docker/config.json"))
		if err == nil {
			err = json.Unmarshal(data, &c)
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}

	dir := t.TempDir()
	if out, code := kit(t, dir, "registry-login", helper,
		"BUILDSYS_CACHE_FROM=oci://127.0.0.1:5000/x,/shared/disk"); code != 0 {
		t.Errorf("without ECR: exit code %d\n%s", code, out)
	}
	if _, err := os.Stat(filepath.Join(dir, ".docker")); err == nil {
		t.Error("it wrote an unneeded configuration")
	}
	if out, code := kit(t, dir, "registry-login", helper,
		"BUILDSYS_CACHE_FROM=/disk, oci://"+host+"/cache"); code != 0 {
		t.Errorf("with the helper: exit code %d\n%s", code, out)
	}
	if got := config(dir)["credHelpers"][host]; got != "ecr-login" {
		t.Errorf("the helper of %s is %v", host, got)
	}

	dir = t.TempDir()
	aws := map[string]string{"aws": `[[ "$*" == "ecr get-login-password --region eu-central-1" ]] && echo token`}
	if out, code := kit(t, dir, "registry-login", aws,
		"BUILDSYS_SDK_IMAGE="+host+"/sdk:1"); code != 0 || strings.Contains(out, "token") {
		t.Errorf("with aws: exit code %d\n%s", code, out)
	}
	// AWS:token
	if got, ok := config(dir)["auths"][host].(map[string]any); !ok || got["auth"] != "QVdTOnRva2Vu" {
		t.Errorf("the credentials are %v", got)
	}
	dir = t.TempDir()
	if out, code := kit(t, dir, "registry-login", map[string]string{"aws": "exit 1"},
		"BUILDSYS_CACHE_TO=oci://"+host+"/cache"); code != 4 ||
		!strings.Contains(out, "ecr:GetAuthorizationToken") {
		t.Errorf("without permission: exit code %d\n%s", code, out)
	}
	out, code := kit(t, dir, "registry-login", nil, "BUILDSYS_CACHE_TO=oci://"+host+"/cache")
	if code != 4 || !strings.Contains(out, "neither") {
		t.Errorf("without both: exit code %d\n%s", code, out)
	}
}
