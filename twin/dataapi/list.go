package dataapi

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

type listStatementsRequest struct {
	StatementName     string
	Status            string
	RoleLevel         *bool
	Database          string
	ClusterIdentifier string
	WorkgroupName     string
	MaxResults        *int
	NextToken         string
}

type statementData struct {
	Id               string
	QueryString      string   `json:",omitzero"`
	QueryStrings     []string `json:",omitzero"`
	Status           string
	StatementName    string `json:",omitzero"`
	CreatedAt        epoch
	UpdatedAt        epoch
	QueryParameters  []parameter `json:",omitzero"`
	IsBatchStatement bool
	ResultFormat     string
	SessionId        string `json:",omitzero"`
}

// listStatements lists the caller's, newest first: finished ones unless told otherwise. At role
// level, the default, it lists those of everybody who shares the role, SQL included. That is
// AWS's behaviour and the reason why our policy template does not allow the call.
func (h *Handler) listStatements(_ context.Context, caller Caller, body []byte) (any, error) {
	request, err := decode[listStatementsRequest](body)
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(request.MaxResults, 100)
	if err != nil {
		return nil, err
	}
	offset, err := h.openToken(request.NextToken, caller, "ListStatements")
	if err != nil {
		return nil, err
	}
	switch request.Status {
	case "":
		request.Status = finished
	case "ALL", submitted, picked, started, finished, failed, aborted:
	default:
		return nil, constraint(request.Status, "status", "satisfy enum value set: [SUBMITTED, PICKED, STARTED, FINISHED, ABORTED, FAILED, ALL]")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire()
	matches := []statementData{}
	for _, st := range slices.Backward(h.order) {
		if visible(st.caller, caller, request.RoleLevel) && request.matches(st) {
			matches = append(matches, dataOf(st))
		}
	}
	matches, next := cut(matches, offset, limit)
	response := struct {
		Statements []statementData
		NextToken  string `json:",omitzero"`
	}{Statements: matches}
	if next > 0 {
		response.NextToken = h.sealToken(next, caller, "ListStatements")
	}
	return response, nil
}

// visible reports whether something of an owner is listed for a caller.
func visible(owner, caller Caller, roleLevel *bool) bool {
	if owner.Account != caller.Account || owner.RoleName != caller.RoleName {
		return false
	}
	return owner.UserID == caller.UserID || roleLevel == nil || *roleLevel
}

func (r listStatementsRequest) matches(st *statement) bool {
	return (r.Status == "ALL" || r.Status == st.status) &&
		strings.HasPrefix(st.name, r.StatementName) &&
		within(st.target, r.ClusterIdentifier, r.WorkgroupName, r.Database)
}

func within(t target, cluster, workgroup, database string) bool {
	return (cluster == "" || cluster == t.cluster) &&
		(workgroup == "" || workgroupName(workgroup) == t.workgroup) &&
		(database == "" || database == t.database)
}

func dataOf(st *statement) statementData {
	data := statementData{
		Id: st.id, Status: st.status, StatementName: st.name, CreatedAt: epoch(st.created), UpdatedAt: epoch(st.updated),
		QueryParameters: st.parameters, IsBatchStatement: st.batch, ResultFormat: st.format,
	}
	if st.session != nil {
		data.SessionId = st.session.id
	}
	if !st.batch {
		data.QueryString = st.pieces[0].sql
		return data
	}
	for _, p := range st.pieces {
		data.QueryStrings = append(data.QueryStrings, p.sql)
	}
	return data
}

// pageSize checks MaxResults; absent and 0 mean most.
func pageSize(asked *int, most int) (int, error) {
	switch {
	case asked == nil || *asked == 0:
		return most, nil
	case *asked < 0 || *asked > most:
		return 0, constraint(*asked, "maxResults", fmt.Sprintf("have value between 0 and %d", most))
	default:
		return *asked, nil
	}
}

// cut takes one page out of a list, and tells where the next begins; 0 if there is none.
func cut[T any](list []T, offset, limit int) (page []T, next int) {
	offset = min(offset, len(list))
	end := min(offset+limit, len(list))
	if end < len(list) {
		next = end
	}
	return list[offset:end], next
}

type listSessionsRequest struct {
	SessionId         string
	Status            string
	RoleLevel         *bool
	Database          string
	ClusterIdentifier string
	WorkgroupName     string
	MaxResults        *int
	NextToken         string
}

type sessionData struct {
	SessionId           string
	Status              string
	CreatedAt           epoch
	UpdatedAt           epoch
	Database            string
	DbUser              string `json:",omitzero"`
	ClusterIdentifier   string `json:",omitzero"`
	WorkgroupName       string `json:",omitzero"`
	SessionAliveSeconds int64
	SessionTtl          epoch
	CurrentStatementId  string `json:",omitzero"`
}

func (h *Handler) listSessions(_ context.Context, caller Caller, body []byte) (any, error) {
	request, err := decode[listSessionsRequest](body)
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(request.MaxResults, 100)
	if err != nil {
		return nil, err
	}
	offset, err := h.openToken(request.NextToken, caller, "ListSessions")
	if err != nil {
		return nil, err
	}
	switch request.Status {
	case "", "AVAILABLE", "BUSY", "CLOSED":
	default:
		return nil, constraint(request.Status, "status", "satisfy enum value set: [AVAILABLE, BUSY, CLOSED]")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire()
	var matches []*session
	for _, s := range h.sessions {
		if visible(s.caller, caller, request.RoleLevel) && request.matches(s) {
			matches = append(matches, s)
		}
	}
	slices.SortFunc(matches, func(a, b *session) int {
		if newer := b.created.Compare(a.created); newer != 0 {
			return newer
		}
		return strings.Compare(a.id, b.id)
	})
	matches, next := cut(matches, offset, limit)
	response := struct {
		Sessions  []sessionData
		NextToken string `json:",omitzero"`
	}{Sessions: []sessionData{}}
	for _, s := range matches {
		response.Sessions = append(response.Sessions, s.data())
	}
	if next > 0 {
		response.NextToken = h.sealToken(next, caller, "ListSessions")
	}
	return response, nil
}

func (r listSessionsRequest) matches(s *session) bool {
	return (r.SessionId == "" || r.SessionId == s.id) && (r.Status == "" || r.Status == s.status()) &&
		within(s.target, r.ClusterIdentifier, r.WorkgroupName, r.Database)
}

func (s *session) data() sessionData {
	data := sessionData{
		SessionId: s.id, Status: s.status(), CreatedAt: epoch(s.created), UpdatedAt: epoch(s.updated), Database: s.target.database, DbUser: s.target.user,
		ClusterIdentifier: s.target.cluster, WorkgroupName: s.target.workgroup, SessionAliveSeconds: int64(s.keepAlive.Seconds()), SessionTtl: epoch(s.expires()),
	}
	if s.current != nil {
		data.CurrentStatementId = s.current.id
	}
	return data
}
