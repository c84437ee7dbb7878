package controlplane

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

func (s *Server) newServerless() *awsjson.Service {
	return &awsjson.Service{
		Target:   Target,
		Verifier: sigv4.Verifier{Registry: s.config.Registry, Region: s.config.Region, Service: "redshift-serverless", Now: s.config.Now},
		Script:   &s.Script,
		Operations: map[string]awsjson.Operation{
			"GetCredentials":             awsjson.Bind(s.getCredentials),
			"GetIdentityCenterAuthToken": awsjson.Bind(s.getWorkgroupToken),
			"GetWorkgroup":               awsjson.Bind(s.getWorkgroup),
			"ListWorkgroups":             awsjson.Bind(s.listWorkgroups),
		},
	}
}

func workgroupNotFound(name string) error {
	return &awsjson.Error{
		Status: http.StatusBadRequest, Code: "ResourceNotFoundException",
		Message: "Workgroup " + name + " does not exist.", Members: map[string]any{"resourceName": name},
	}
}

type credentialsRequest struct {
	Workgroup string `json:"workgroupName"`
	Database  string `json:"dbName"`
	Duration  int    `json:"durationSeconds"`
	Domain    string `json:"customDomainName"`
}

func (s *Server) getCredentials(_ context.Context, caller sigv4.Credential, q credentialsRequest) (any, error) {
	if q.Domain != "" || !slices.Contains(s.config.Workgroups, q.Workgroup) { // no domain name leads to one here
		return nil, workgroupNotFound(cmp.Or(q.Domain, q.Workgroup))
	}
	seconds := ""
	if q.Duration != 0 {
		seconds = strconv.Itoa(q.Duration)
	}
	made, err := s.roleLogin(caller, "redshift-serverless:GetCredentials", seconds)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"dbUser": made.name, "dbPassword": made.password,
		"expiration": made.expires.Unix(), "nextRefreshTime": made.nextRefresh().Unix(),
	}, nil
}

type tokenRequest struct {
	Workgroups []string `json:"workgroupNames"`
}

// getWorkgroupToken differs from its namesake in how it names errors, and writes times as text where
// GetCredentials writes numbers.
func (s *Server) getWorkgroupToken(_ context.Context, caller sigv4.Credential, q tokenRequest) (any, error) {
	token, expires, err := s.giveToken(caller, q.Workgroups, s.config.Workgroups, workgroupNotFound)
	if refused, ok := err.(*awsjson.Error); ok && (refused.Code == "UnsupportedOperation" || refused.Code == "AccessDenied") {
		return nil, &awsjson.Error{Status: refused.Status, Code: "AccessDeniedException", Message: refused.Message}
	}
	if err != nil {
		return nil, err
	}
	return map[string]any{"token": token, "expirationTime": expires.UTC().Format(time.RFC3339)}, nil
}

type workgroupRequest struct {
	Workgroup string `json:"workgroupName"`
}

func (s *Server) getWorkgroup(_ context.Context, _ sigv4.Credential, q workgroupRequest) (any, error) {
	if !slices.Contains(s.config.Workgroups, q.Workgroup) {
		return nil, workgroupNotFound(q.Workgroup)
	}
	return map[string]any{"workgroup": s.workgroup(q.Workgroup)}, nil
}

type listRequest struct {
	Most  int    `json:"maxResults"`
	Next  string `json:"nextToken"`
	Owner string `json:"ownerAccount"`
}

func (s *Server) listWorkgroups(_ context.Context, _ sigv4.Credential, _ listRequest) (any, error) {
	all := []any{}
	for _, name := range s.config.Workgroups {
		all = append(all, s.workgroup(name))
	}
	return map[string]any{"workgroups": all}, nil
}

func (s *Server) workgroup(name string) any {
	host, port := s.config.Endpoint()
	return map[string]any{
		"workgroupName": name, "workgroupArn": s.arn("redshift-serverless", "workgroup", name), "workgroupId": "twin-" + name,
		"namespaceName": name, "status": "AVAILABLE", "baseCapacity": 8, "publiclyAccessible": false, "port": port,
		"endpoint": map[string]any{"address": host, "port": port}, "workgroupVersion": "1.0", "patchVersion": "204",
	}
}
