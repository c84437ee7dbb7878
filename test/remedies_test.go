package test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	awsCommand = regexp.MustCompile("`aws ([a-z-]+ [a-z-]+)([^`]*)`")
	awsOption  = regexp.MustCompile(` --([a-z-]+)`)
)

// ofEveryCommand are options that the AWS CLI has for all operations.
var ofEveryCommand = map[string]bool{"query": true, "region": true, "output": true}

// The commands of AWS that doctor tells people to run exist, with the options that it names: the AWS
// CLI is asked what it would send.
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
	for command, named := range options {
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
