package optistore

import pb "github.com/optistore/optistore/clients/go/optistorev1"

// Short names of the contract's messages and values.
type (
	// Problem is what was optimized; its variables are the columns of the result.
	Problem = pb.Problem
	// Variable is one column of a result.
	Variable = pb.Variable
	// Result is one optimization run under a key: its metadata, without rows.
	Result = pb.Result
	// Header is what a load begins with: the result, the columns and the rows that are about to come.
	Header = pb.LoadHeader
	// Outcome says how a run ended.
	Outcome = pb.Outcome
	// Backend is a store, by its place in the daemon.
	Backend = pb.Backend
	// Replication says whether a save goes to the secondary as well.
	Replication = pb.ReplicationMode
)

// What a variable is to the optimization.
const (
	DesignVariable       = pb.VariableRole_VARIABLE_ROLE_DESIGN_VARIABLE
	Objective            = pb.VariableRole_VARIABLE_ROLE_OBJECTIVE
	InequalityConstraint = pb.VariableRole_VARIABLE_ROLE_INEQUALITY_CONSTRAINT
	EqualityConstraint   = pb.VariableRole_VARIABLE_ROLE_EQUALITY_CONSTRAINT
	Observable           = pb.VariableRole_VARIABLE_ROLE_OBSERVABLE
)

// Types of a column's values.
const (
	Float64 = pb.ValueType_VALUE_TYPE_FLOAT64
	Int64   = pb.ValueType_VALUE_TYPE_INT64
	Bool    = pb.ValueType_VALUE_TYPE_BOOL
	String  = pb.ValueType_VALUE_TYPE_STRING
)

// Which way an objective improves.
const (
	Minimize = pb.Direction_DIRECTION_MINIMIZE
	Maximize = pb.Direction_DIRECTION_MAXIMIZE
)

// How a run ended.
const (
	Finished = pb.Outcome_OUTCOME_FINISHED
	Failed   = pb.Outcome_OUTCOME_FAILED
	Stopped  = pb.Outcome_OUTCOME_STOPPED
)

// The stores of a daemon.
const (
	Primary   = pb.Backend_BACKEND_PRIMARY
	Secondary = pb.Backend_BACKEND_SECONDARY
	Cache     = pb.Backend_BACKEND_CACHE
)

// Whether a save goes to the secondary as well.
const (
	// ReplicateNone keeps it in the primary only.
	ReplicateNone = pb.ReplicationMode_REPLICATION_MODE_NONE
	// ReplicateAsync copies it after the commit.
	ReplicateAsync = pb.ReplicationMode_REPLICATION_MODE_ASYNC
	// ReplicateSync copies it before the commit returns, where the secondary can be reached.
	ReplicateSync = pb.ReplicationMode_REPLICATION_MODE_SYNC
)

// What a result set is made by.
const (
	Union        = pb.SetOperation_SET_OPERATION_UNION
	Intersection = pb.SetOperation_SET_OPERATION_INTERSECTION
	Difference   = pb.SetOperation_SET_OPERATION_DIFFERENCE
)

// Revision gives the address of a revision's number, as options that may lack one take it.
func Revision(number uint64) *uint64 { return &number }
