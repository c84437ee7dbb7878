package dataapi

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/shiftgrant/shiftgrant/twin/postgres"
)

// where are the members by which every call names its target.
type where struct {
	ClusterIdentifier string
	WorkgroupName     string
	Database          string
	DbUser            string
	SecretArn         string
}

type executeRequest struct {
	where                   `json:",inline"`
	Sql                     string
	Parameters              []parameter `json:",omitzero"`
	StatementName           string
	WithEvent               bool
	ClientToken             *string
	ResultFormat            string
	SessionKeepAliveSeconds *int
	SessionId               string
	WaitTimeSeconds         *int `json:",omitzero"`
}

type batchRequest struct {
	where                   `json:",inline"`
	Sqls                    []string
	Parameters              []parameter `json:",omitzero"`
	StatementName           string
	WithEvent               bool
	ClientToken             *string
	ResultFormat            string
	SessionKeepAliveSeconds *int
	SessionId               string
	ExecutionMode           string
	WaitTimeSeconds         *int `json:",omitzero"`
}

type executeResponse struct {
	Id                string
	CreatedAt         epoch
	ClusterIdentifier string `json:",omitzero"`
	WorkgroupName     string `json:",omitzero"`
	Database          string
	DbUser            string `json:",omitzero"`
	SessionId         string `json:",omitzero"`
	Status            string
	RedshiftPid       uint32 `json:",omitzero"`
	HasResultSet      *bool  `json:",omitzero"`
}

// epoch is a time as JSON 1.1 writes it: seconds with a fraction.
type epoch time.Time

func (e epoch) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%.3f", float64(time.Time(e).UnixMilli())/1000), nil
}

// A submission is what both operations make of their request.
type submission struct {
	where
	sqls       []string
	batch      bool
	mode       string
	parameters []parameter
	name       string
	format     string
	token      *string
	keepAlive  *int
	sessionID  string
	request    string // for comparison by ClientToken
}

const (
	maxSQL       = 200 << 10
	maxBatch     = 40
	maxName      = 2048
	maxToken     = 64
	maxKeepAlive = 86_400
)

func (h *Handler) executeStatement(ctx context.Context, caller Caller, body []byte) (any, error) {
	request, err := decode[executeRequest](body)
	if err != nil {
		return nil, err
	}
	wait := request.WaitTimeSeconds
	request.WaitTimeSeconds = nil // may differ when a call is repeated
	s := submission{
		where: request.where, sqls: []string{request.Sql}, parameters: request.Parameters, name: request.StatementName,
		format: request.ResultFormat, token: request.ClientToken, keepAlive: request.SessionKeepAliveSeconds, sessionID: request.SessionId,
	}
	if s.request, err = fingerprint("ExecuteStatement", request); err != nil {
		return nil, err
	}
	return h.submit(ctx, caller, s, wait)
}

func (h *Handler) batchExecuteStatement(ctx context.Context, caller Caller, body []byte) (any, error) {
	request, err := decode[batchRequest](body)
	if err != nil {
		return nil, err
	}
	if n := len(request.Sqls); n < 1 || n > maxBatch {
		return nil, constraint(fmt.Sprintf("%d statements", n), "sqls", "have length between 1 and 40")
	}
	wait := request.WaitTimeSeconds
	request.WaitTimeSeconds = nil
	s := submission{
		where: request.where, sqls: request.Sqls, batch: true, mode: request.ExecutionMode, parameters: request.Parameters, name: request.StatementName,
		format: request.ResultFormat, token: request.ClientToken, keepAlive: request.SessionKeepAliveSeconds, sessionID: request.SessionId,
	}
	switch s.mode {
	case "":
		s.mode = "TRANSACTION"
	case "TRANSACTION", "AUTO_COMMIT":
	default:
		return nil, constraint(s.mode, "executionMode", "satisfy enum value set: [TRANSACTION, AUTO_COMMIT]")
	}
	if s.request, err = fingerprint("BatchExecuteStatement", request); err != nil {
		return nil, err
	}
	return h.submit(ctx, caller, s, wait)
}

// fingerprint is a request in a form in which equal requests are equal strings.
func fingerprint(operation string, request any) (string, error) {
	encoded, err := json.Marshal(request, json.Deterministic(true))
	if err != nil {
		return "", fmt.Errorf("encode request for comparison: %w", err)
	}
	return operation + string(encoded), nil
}

// submit checks, starts and, if asked, waits.
func (h *Handler) submit(ctx context.Context, caller Caller, s submission, wait *int) (any, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if err := checkWait(wait); err != nil {
		return nil, err // before anything is started
	}
	st, err := h.begin(caller, s)
	if err != nil {
		return nil, err
	}
	if err := h.wait(ctx, st, st.done, wait); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	response := executeResponse{
		Id: st.id, CreatedAt: epoch(st.created), ClusterIdentifier: st.target.cluster, WorkgroupName: st.target.workgroup,
		Database: st.target.database, DbUser: st.target.user, Status: st.status, RedshiftPid: st.pid,
	}
	if st.session != nil {
		response.SessionId = st.session.id
	}
	if final(st.status) {
		has := st.hasResult()
		response.HasResultSet = &has
	}
	return response, nil
}

func (st *statement) hasResult() bool {
	return slices.ContainsFunc(st.pieces, func(p *piece) bool { return p.hasResult })
}

func checkWait(seconds *int) error {
	if seconds != nil && (*seconds < 1 || *seconds > 30) {
		return constraint(*seconds, "waitTimeSeconds", "have value between 1 and 30")
	}
	return nil
}

// check holds a submission to the limits of the API's model.
func (s *submission) check() error {
	switch {
	case slices.Contains(s.sqls, ""):
		return validation("SQL statement must not be empty")
	case slices.ContainsFunc(s.sqls, func(sql string) bool { return len(sql) > maxSQL }):
		return validation("The SQL statement is larger than the limit of 200 KB")
	case len(s.name) > maxName:
		return constraint(s.name, "statementName", "have length less than or equal to 2048")
	case s.token != nil && (len(*s.token) < 1 || len(*s.token) > maxToken):
		return constraint(*s.token, "clientToken", "have length between 1 and 64")
	case s.keepAlive != nil && (*s.keepAlive < 0 || *s.keepAlive > maxKeepAlive):
		return constraint(*s.keepAlive, "sessionKeepAliveSeconds", "have value between 0 and 86400")
	case s.parameters != nil && len(s.parameters) == 0:
		return constraint("[]", "parameters", "have length greater than or equal to 1")
	}
	switch s.format {
	case "":
		s.format = "JSON"
	case "JSON", "CSV":
	default:
		return constraint(s.format, "resultFormat", "satisfy enum value set: [JSON, CSV]")
	}
	return s.checkParameters()
}

// checkParameters: each has a name that can be a placeholder, a value of at least one character,
// and is used. NULL and the empty string cannot be said.
func (s *submission) checkParameters() error {
	var used []string
	for _, sql := range s.sqls {
		used = append(used, postgres.Parameters(sql)...)
	}
	seen := map[string]bool{}
	var unused []string
	for i, p := range s.parameters {
		switch {
		case p.Name == "" || strings.ContainsFunc(p.Name, func(r rune) bool { return !isNameRune(r) }):
			return constraint(p.Name, fmt.Sprintf("parameters.%d.member.name", i+1), "satisfy regular expression pattern: [0-9a-zA-Z_]+")
		case p.Value == "":
			return constraint("", fmt.Sprintf("parameters.%d.member.value", i+1), "have length greater than or equal to 1")
		case seen[p.Name]:
			return validation("Parameters list contains duplicate parameters. Duplicate parameter: [%s]", p.Name)
		case !slices.Contains(used, p.Name):
			unused = append(unused, p.Name)
		}
		seen[p.Name] = true
	}
	if len(unused) > 0 {
		return validation("Parameters list contains unused parameters. Unused parameters: [%s]", strings.Join(unused, ", "))
	}
	return nil
}

func isNameRune(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// begin registers a statement and starts it; or finds the one that the same ClientToken began.
func (h *Handler) begin(caller Caller, s submission) (*statement, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, internal()
	}
	h.expire()
	tokenKey := ""
	if s.token != nil {
		tokenKey = caller.Account + "\x00" + caller.UserID + "\x00" + *s.token
		if earlier := h.idempotent[tokenKey]; earlier != nil {
			return h.repeated(earlier, s)
		}
	}
	st, err := h.register(caller, s)
	if err != nil {
		return nil, err
	}
	if s.token != nil {
		h.idempotent[tokenKey] = &remembered{request: s.request, id: st.id, expires: st.created.Add(tokenMemory)}
	}
	h.running.Go(func() { h.run(st) })
	return st, nil
}

func (h *Handler) repeated(earlier *remembered, s submission) (*statement, error) {
	if earlier.request != s.request {
		return nil, validation("ClientToken was already used with different parameters")
	}
	st := h.statements[earlier.id]
	if st == nil {
		return nil, notFound(earlier.id, "Query does not exist.")
	}
	return st, nil
}

// register makes the statement, within the quotas of its warehouse.
func (h *Handler) register(caller Caller, s submission) (*statement, error) {
	var joined *session
	var to target
	var err error
	if s.sessionID != "" {
		if joined, err = h.joinSession(caller, s); err == nil {
			to = joined.target
		}
	} else {
		to, err = h.target(caller, s.where)
	}
	if err != nil {
		return nil, err
	}
	if err := h.checkActive(to); err != nil {
		return nil, err
	}
	if joined == nil && s.keepAlive != nil && *s.keepAlive > 0 {
		if joined, err = h.openSession(caller, to, *s.keepAlive); err != nil {
			return nil, err
		}
	}
	st := h.newStatement(caller, s, to)
	if joined != nil {
		st.session, joined.current, joined.updated = joined, st, st.created
	}
	h.statements[st.id] = st
	h.order = append(h.order, st)
	return st, nil
}

func (h *Handler) newStatement(caller Caller, s submission, to target) *statement {
	now := h.config.Now()
	st := &statement{
		id: newUUID(), caller: caller, target: to, name: s.name, format: s.format, parameters: s.parameters,
		batch: s.batch, mode: s.mode, done: make(chan struct{}), status: submitted, created: now, updated: now,
	}
	st.ctx, st.cancel = context.WithCancel(h.stopped)
	for i, sql := range s.sqls {
		p := &piece{id: st.id, sql: sql, done: make(chan struct{}), status: submitted, created: now, updated: now, rows: -1}
		if st.batch {
			p.id = fmt.Sprintf("%s:%d", st.id, i+1)
		}
		st.pieces = append(st.pieces, p)
	}
	return st
}

func (h *Handler) checkActive(to target) error {
	if !h.config.Quotas.On {
		return nil
	}
	active := 0
	for _, st := range h.order {
		if !final(st.status) && st.target.warehouse() == to.warehouse() {
			active++
		}
	}
	if active >= h.config.Quotas.activeStatements() {
		return exceeded("ActiveStatementsExceededException", "Active statements exceeded the allowed quota (500).")
	}
	return nil
}

// target finds the warehouse and decides on the database user.
func (h *Handler) target(caller Caller, w where) (target, error) {
	switch {
	case w.ClusterIdentifier == "" && w.WorkgroupName == "":
		return target{}, validation("Either ClusterIdentifier or WorkgroupName needs to be specified.")
	case w.ClusterIdentifier != "" && w.WorkgroupName != "":
		return target{}, validation("ClusterIdentifier and WorkgroupName cannot be specified at the same time.")
	case w.Database == "":
		return target{}, validation("Database needs to be specified.")
	case w.SecretArn != "" && h.config.Secret == nil:
		return target{}, validation("The twin has no Secrets Manager: leave out SecretArn.")
	}
	t := target{cluster: w.ClusterIdentifier, workgroup: workgroupName(w.WorkgroupName), database: w.Database}
	t.server = h.config.Clusters[t.cluster]
	if t.workgroup != "" {
		t.server = h.config.Workgroups[t.workgroup]
	}
	if t.server == nil || caller.Account != h.config.Account {
		return target{}, validation("Redshift endpoint doesn't exist in this region.")
	}
	var err error
	if w.SecretArn != "" {
		t.user, err = h.userOfSecret(caller, w)
	} else {
		t.user, err = h.databaseUser(caller, t, w.DbUser)
	}
	return t, err
}

// userOfSecret is the user whose password a secret holds.
func (h *Handler) userOfSecret(caller Caller, w where) (string, error) {
	if w.DbUser != "" {
		return "", validation("DbUser and SecretArn cannot be specified at the same time.")
	}
	return h.config.Secret(caller, w.SecretArn)
}

// workgroupName takes the name out of a workgroup's ARN.
func workgroupName(nameOrARN string) string {
	return nameOrARN[strings.LastIndexByte(nameOrARN, '/')+1:]
}

// databaseUser is as whom the statement runs. Given: GetClusterCredentials, as far as the policy
// allows. Absent: the user that stands for the IAM identity, who exists only if somebody made it.
func (h *Handler) databaseUser(caller Caller, t target, asked string) (string, error) {
	switch {
	case caller.DatabaseUser != "" && asked != "":
		return "", validation("DbUser cannot be specified with identity-enhanced credentials.")
	case caller.DatabaseUser != "":
		return caller.DatabaseUser, nil
	case asked == "" && caller.RoleName != "":
		return "IAMR:" + caller.RoleName, nil
	case asked == "":
		return "IAM:" + caller.SessionName, nil
	case t.workgroup != "":
		return "", validation("DbUser cannot be specified with WorkgroupName.")
	case !h.config.MayUse(caller, asked):
		resource := fmt.Sprintf("arn:aws:redshift:%s:%s:dbuser:%s/%s", h.config.Region, h.config.Account, t.cluster, asked)
		return "", denied(caller, "redshift:GetClusterCredentials", resource)
	}
	return asked, nil
}
