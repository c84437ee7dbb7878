package test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	awsCommand = regexp.MustCompile("`aws ([a-z-]+ [a-z-]+)([^`]*)`")
	awsOption  = regexp.MustCompile(` --([a-z-]+)`)
	awsVersion = regexp.MustCompile(`^aws-cli/([0-9]+)\.([0-9]+)`)

	ofApplications = regexp.MustCompile("application|trusted-token")
)

// knowsApplications reports whether this AWS CLI is from after Identity Center and Redshift got their
// applications (the end of 2023). Debian 12 has one from before.
func knowsApplications(t *testing.T) bool {
	t.Helper()
	said, err := exec.CommandContext(t.Context(), "aws", "--version").Output()
	match := awsVersion.FindStringSubmatch(string(said))
	if err != nil || match == nil {
		t.Fatalf("aws --version says %q: %v", said, err)
	}
	minor, err := strconv.Atoi(match[2])
	if err != nil {
		t.Fatal(err)
	}
	return match[1] == "1" && minor >= 33 || match[1] == "2" && minor >= 16
}

// ofEveryCommand are options that the AWS CLI has for all operations.
var ofEveryCommand = map[string]bool{"query": true, "region": true, "output": true}

// The commands of AWS that doctor tells people to run exist, with the options that it names: the AWS
// CLI is asked what it would send, where it knows the operation.
func TestAWSCommandsInRemediesExist(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join("..", "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	options := map[string]map[string]bool{}
	for _, command := range awsCommand.FindAllStringSubmatch(string(content), -1) {
		if options[command[1]] == nil {
			options[command[1]] = map[string]bool{}
		}
		for _, option := range awsOption.FindAllStringSubmatch(command[2], -1) {
			options[command[1]][option[1]] = true
		}
	}
	if len(options) == 0 {
		t.Fatal("no command was found")
	}
	current := knowsApplications(t)
	for command, named := range options {
		if !current && ofApplications.MatchString(command) {
			continue
		}
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			aws := exec.CommandContext(t.Context(), "aws", append(strings.Fields(command), "--generate-cli-skeleton")...)
			aws.Env = append(os.Environ(), "AWS_PAGER=", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
			said, err := aws.Output()
			if err != nil {
				t.Fatalf("aws %s: %v", command, err)
			}
			var request map[string]any
			if err := json.Unmarshal(said, &request); err != nil {
				t.Fatal(err)
			}
			known := map[string]bool{}
			for member := range request {
				known[strings.ToLower(member)] = true
			}
			for option := range named {
				member := strings.ReplaceAll(option, "-", "")
				if !ofEveryCommand[option] && !known[member] && !known[strings.TrimPrefix(member, "no")] {
					t.Errorf("aws %s has no option --%s", command, option)
				}
			}
		})
	}
}
