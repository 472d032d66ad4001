; Large work: kernels that are run in shares, by the thread that calls and by the workers of this process.  See crew.py.
;
; There is one job at a time.  Who has one takes the lead, describes the job, opens it by making @state odd, takes shares
; himself until none is left, closes it, and waits until no worker is inside any more.  A worker says that he is inside
; before he looks whether the job is open: so either he sees that it is closed, or its leader sees him.  For the same
; reason a worker says that he is going to sleep before he looks a last time, and a leader opens the job before he looks
; who sleeps.  All of these are sequentially consistent; everything else is ordered by them.

@state = internal global i64 0, align 128
@next = internal global i64 0, align 128          ; the share that is taken next
@inside = internal global i64 0, align 128        ; how many workers look at the job
@leading = internal global i64 0, align 128       ; whether a job is under way
@status = internal global i64 0, align 128        ; of the job: not 0 if a share failed

; The job.
@kernel = internal global ptr null
@frame = internal global ptr null
@slots = internal global ptr null
@extent = internal global i64 0                   ; how many iterations there are
@length = internal global i64 0                   ; ... in a share
@count = internal global i64 0                    ; how many shares
@most = internal global i64 0                     ; how many threads it is made for

; The crew.
@workers = internal global i64 0
@beds = internal global ptr null                  ; of each worker: whether he sleeps, and the lock that wakes him
@dismissed = internal global i64 0
@main_thread = internal global i64 0              ; the only one that handles signals
@looked = internal global i64 0                   ; when it did so last

declare void @PyThread_release_lock(ptr)
declare i32 @PyThread_acquire_lock(ptr, i32)
declare i64 @PyThread_get_thread_ident()
declare i32 @PyGILState_Ensure()
declare void @PyGILState_Release(i32)
declare i32 @PyErr_CheckSignals()
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare i32 @let_others_run()
declare i64 @llvm.umin.i64(i64, i64)
declare i64 @llvm.umax.i64(i64, i64)

; Begin with no workers.  The table of their beds stays where it is.
define void @begin(ptr %beds, i64 %main_thread) {
  store i64 0, ptr @workers
  store ptr %beds, ptr @beds
  store i64 %main_thread, ptr @main_thread
  store i64 0, ptr @state
  store i64 0, ptr @inside
  store i64 0, ptr @leading
  store atomic i64 0, ptr @dismissed seq_cst, align 8
  ret void
}

; There is a worker of this number, and so of those below.
define void @enlist(i64 %thread) {
  %before = atomicrmw umax ptr @workers, i64 %thread seq_cst
  ret void
}

; Let all workers go home.  Who leads a job does what is left of it alone.
define void @dismiss() {
  store atomic i64 1, ptr @dismissed seq_cst, align 8
  %workers = load atomic i64, ptr @workers seq_cst, align 8
  call void @wake(i64 %workers)
  ret void
}

define internal void @wake(i64 %count) {
start:
  %beds = load ptr, ptr @beds
  br label %head
head:
  %i = phi i64 [0, %start], [%following, %next]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %look, label %done
look:
  %following = add i64 %i, 1
  %bed = getelementptr [2 x ptr], ptr %beds, i64 %i
  %sleeps = atomicrmw xchg ptr %bed, i64 0 seq_cst
  %is_asleep = icmp ne i64 %sleeps, 0
  br i1 %is_asleep, label %rouse, label %next
rouse:
  %lock_at = getelementptr ptr, ptr %bed, i64 1
  %lock = load ptr, ptr %lock_at
  call void @PyThread_release_lock(ptr %lock)
  br label %next
next:
  br label %head
done:
  ret void
}

; The life of a worker; the leader of a job is thread 0.
define void @serve(i64 %thread) {
start:
  %beds = load ptr, ptr @beds
  %number = sub i64 %thread, 1
  %bed = getelementptr [2 x ptr], ptr %beds, i64 %number
  %lock_at = getelementptr ptr, ptr %bed, i64 1
  %lock = load ptr, ptr %lock_at
  br label %watch
watch:
  br label %spin
spin:
  %times = phi i64 [0, %watch], [%times.next, %again]
  %called = call i1 @is_called()
  br i1 %called, label %answer, label %again
again:
  call void @pause()
  %times.next = add i64 %times, 1
  %patient = icmp ult i64 %times.next, ${SPINS}
  br i1 %patient, label %spin, label %lie_down
lie_down:
  %was = atomicrmw xchg ptr %bed, i64 1 seq_cst
  %called_late = call i1 @is_called()
  br i1 %called_late, label %get_up, label %sleep
get_up:
  %still = atomicrmw xchg ptr %bed, i64 0 seq_cst
  %nobody_woke = icmp ne i64 %still, 0
  br i1 %nobody_woke, label %answer, label %sleep      ; who was woken must take the lock
sleep:
  %woken = call i32 @PyThread_acquire_lock(ptr %lock, i32 1)
  br label %answer
answer:
  %dismissed = load atomic i64, ptr @dismissed seq_cst, align 8
  %leaves = icmp ne i64 %dismissed, 0
  br i1 %leaves, label %home, label %enter
enter:
  %before = atomicrmw add ptr @inside, i64 1 seq_cst
  %state = load atomic i64, ptr @state seq_cst, align 8
  %open_bit = and i64 %state, 1
  %is_open = icmp ne i64 %open_bit, 0
  br i1 %is_open, label %join, label %leave
join:
  %most = load i64, ptr @most
  %needed = icmp ult i64 %thread, %most
  br i1 %needed, label %help, label %leave
help:
  call void @take_shares(i64 %thread)
  br label %leave
leave:
  %after = atomicrmw sub ptr @inside, i64 1 seq_cst
  br label %wait
wait:                                                  ; nothing is left of this job
  %now = load atomic i64, ptr @state seq_cst, align 8
  %same = icmp eq i64 %now, %state
  %unfinished = and i1 %same, %is_open
  %dismissed_now = load atomic i64, ptr @dismissed monotonic, align 8
  %is_kept = icmp eq i64 %dismissed_now, 0
  %waits = and i1 %unfinished, %is_kept
  call void @pause()
  br i1 %waits, label %wait, label %watch
home:
  ret void
}

define internal i1 @is_called() alwaysinline {
  %state = load atomic i64, ptr @state seq_cst, align 8
  %dismissed = load atomic i64, ptr @dismissed seq_cst, align 8
  %either = or i64 %state, %dismissed
  %called = trunc i64 %either to i1
  ret i1 %called
}

; Take shares of the job until none is left, or one has failed, or workers are dismissed.
define internal void @take_shares(i64 %thread) {
start:
  %kernel = load ptr, ptr @kernel
  %frame = load ptr, ptr @frame
  %slots = load ptr, ptr @slots
  %extent = load i64, ptr @extent
  %length = load i64, ptr @length
  %count = load i64, ptr @count
  %leads = icmp eq i64 %thread, 0
  br label %head
head:
  %status = load atomic i64, ptr @status monotonic, align 8
  %is_well = icmp eq i64 %status, 0
  %dismissed = load atomic i64, ptr @dismissed monotonic, align 8
  %is_kept = icmp eq i64 %dismissed, 0
  %stays = or i1 %leads, %is_kept
  %goes_on = and i1 %is_well, %stays
  br i1 %goes_on, label %claim, label %done
claim:
  %number = atomicrmw add ptr @next, i64 1 monotonic
  %more = icmp ult i64 %number, %count
  br i1 %more, label %one, label %done
one:
  %outcome = call i32 @run_share(ptr %kernel, ptr %frame, ptr %slots, i64 %number, i64 %length, i64 %extent, i64 %thread)
  %fine = icmp eq i32 %outcome, 0
  br i1 %fine, label %check, label %failed
check:
  br i1 %leads, label %look, label %head
look:
  %interrupt = call i32 @interrupted()
  %uninterrupted = icmp eq i32 %interrupt, 0
  br i1 %uninterrupted, label %head, label %failed
failed:
  %what = phi i32 [%outcome, %one], [%interrupt, %look]
  %wide = sext i32 %what to i64
  store atomic i64 %wide, ptr @status monotonic, align 8
  br label %done
done:
  ret void
}

define internal i32 @run_share(ptr %kernel, ptr %frame, ptr %slots, i64 %number, i64 %length, i64 %extent, i64 %thread) {
  %share = alloca [${WORDS} x i64]
  %first = mul i64 %number, %length
  %begin = call i64 @llvm.umin.i64(i64 %first, i64 %extent)
  %beyond = add i64 %first, %length
  %end = call i64 @llvm.umin.i64(i64 %beyond, i64 %extent)
  store i64 %begin, ptr %share
  %end_at = getelementptr i64, ptr %share, i64 ${END}
  store i64 %end, ptr %end_at
  %number_at = getelementptr i64, ptr %share, i64 ${NUMBER}
  store i64 %number, ptr %number_at
  %thread_at = getelementptr i64, ptr %share, i64 ${THREAD}
  store i64 %thread, ptr %thread_at
  %ask_at = getelementptr i64, ptr %share, i64 ${ASK}
  store ptr @go_on, ptr %ask_at
  %status = call i32 %kernel(ptr %frame, ptr %slots, ptr %share)
  ret i32 %status
}

; What a kernel asks within a share: 0 if it is to go on.  A worker ends with his job, of which the leader hears signals.
define internal i32 @go_on(i64 %thread) {
  %is_worker = icmp ne i64 %thread, 0
  br i1 %is_worker, label %worker, label %leader
worker:
  %status = load atomic i64, ptr @status monotonic, align 8
  %outcome = trunc i64 %status to i32
  ret i32 %outcome
leader:
  %interrupt = call i32 @interrupted()
  ret i32 %interrupt
}

; Signals: whether Python's handler raised something.  Its lock is asked for only now and then, as others may hold it.
define internal i32 @interrupted() {
start:
  %now = call i64 @ticks()
  %last = load atomic i64, ptr @looked monotonic, align 8
  %passed = sub i64 %now, %last
  %is_time = icmp ugt i64 %passed, ${INTERVAL}
  br i1 %is_time, label %ask, label %no
ask:
  %thread = call i64 @PyThread_get_thread_ident()
  %main = load i64, ptr @main_thread
  %is_main = icmp eq i64 %thread, %main
  br i1 %is_main, label %handle, label %no
handle:
  %hold = call i32 @PyGILState_Ensure()
  %raised = call i32 @PyErr_CheckSignals()
  call void @PyGILState_Release(i32 %hold)
  %then = call i64 @ticks()
  store atomic i64 %then, ptr @looked monotonic, align 8
  %is_raised = icmp ne i32 %raised, 0
  br i1 %is_raised, label %yes, label %no
yes:
  ret i32 ${INTERRUPTED}
no:
  ret i32 0
}

; A step: a kernel, in shares.
; slots: the word of its address, the number of its manner, how many threads it is made for; its own slots.
define i32 @divide(ptr %frame, ptr %slots) {
start:
  %share = alloca [${WORDS} x i64]
  %kernel = call ptr @pointer(ptr %frame, ptr %slots, i64 0)
  %manner = call i64 @number(ptr %slots, i64 1)
  %most = call i64 @number(ptr %slots, i64 2)
  %own = getelementptr i32, ptr %slots, i64 3
  %end_at = getelementptr i64, ptr %share, i64 ${END}
  %work_at = getelementptr i64, ptr %share, i64 ${WORK}
  store i64 -1, ptr %end_at
  %asked = call i32 %kernel(ptr %frame, ptr %own, ptr %share)
  %extent = load i64, ptr %end_at
  %work.0 = load i64, ptr %work_at
  %work = call i64 @llvm.umax.i64(i64 %work.0, i64 1)
  %is_total = icmp eq i64 %manner, ${TOTALS}
  %is_whole = icmp eq i64 %manner, ${WHOLE}
  %is_small = icmp ule i64 %work, ${LARGE}
  %is_one = or i1 %is_whole, %is_small
  br i1 %is_one, label %single, label %measure

single:
  br label %in_turn
measure:
  %in_order = icmp eq i64 %manner, ${IN_ORDER}
  %wanted = select i1 %in_order, i64 ${LONG_SHARE}, i64 ${SHARE}
  %scaled = mul i64 %extent, %wanted
  %some = udiv i64 %scaled, %work
  %up = add i64 %extent, ${PARTS_LESS_1}
  %part = udiv i64 %up, ${PARTS}
  %least = select i1 %is_total, i64 %part, i64 1
  %raw = call i64 @llvm.umax.i64(i64 %some, i64 %least)
  %is_long = icmp ugt i64 %raw, 8191               ; long shares to whole cache lines
  %raised = add i64 %raw, 1023
  %lines = and i64 %raised, -1024
  %chosen = select i1 %is_long, i64 %lines, i64 %raw
  %length = call i64 @llvm.umax.i64(i64 %chosen, i64 1)
  %ceiling = add i64 %extent, %length
  %last = sub i64 %ceiling, 1
  %full = udiv i64 %last, %length
  %count = call i64 @llvm.umax.i64(i64 %full, i64 1)   ; what is checked before the loop is checked without iterations
  %workers = load atomic i64, ptr @workers seq_cst, align 8
  %others = sub i64 %most, 1
  %useful = sub i64 %count, 1
  %fewer = call i64 @llvm.umin.i64(i64 %others, i64 %useful)
  %helpers = call i64 @llvm.umin.i64(i64 %workers, i64 %fewer)
  %has_help = icmp ne i64 %helpers, 0
  %one_after_the_other = icmp eq i64 %manner, ${IN_ORDER}
  %alone = xor i1 %has_help, true
  %is_serial = or i1 %one_after_the_other, %alone
  br i1 %is_serial, label %in_turn, label %lead

lead:
  %taken = cmpxchg ptr @leading, i64 0, i64 1 seq_cst seq_cst
  %is_leader = extractvalue { i64, i1 } %taken, 1
  br i1 %is_leader, label %open, label %in_turn
open:
  store ptr %kernel, ptr @kernel
  store ptr %frame, ptr @frame
  store ptr %own, ptr @slots
  store i64 %extent, ptr @extent
  store i64 %length, ptr @length
  store i64 %count, ptr @count
  store i64 %most, ptr @most
  store atomic i64 0, ptr @next monotonic, align 8
  store atomic i64 0, ptr @status monotonic, align 8
  %was_closed = atomicrmw add ptr @state, i64 1 seq_cst
  call void @wake(i64 %helpers)
  call void @take_shares(i64 0)
  %was_open = atomicrmw add ptr @state, i64 1 seq_cst
  br label %wait
wait:
  %times = phi i64 [1, %open], [%times.next, %spin], [1, %yield]
  %inside = load atomic i64, ptr @inside seq_cst, align 8
  %alone_again = icmp eq i64 %inside, 0
  br i1 %alone_again, label %close, label %longer
longer:
  %times.next = add i64 %times, 1
  %has_waited = icmp ugt i64 %times, 1000
  br i1 %has_waited, label %yield, label %spin
spin:
  call void @pause()
  br label %wait
yield:
  %yielded = call i32 @let_others_run()
  br label %wait
close:
  %outcome = load atomic i64, ptr @status monotonic, align 8
  %result = trunc i64 %outcome to i32
  store atomic i64 0, ptr @leading seq_cst, align 8
  ret i32 %result

in_turn:                                          ; one share after the other
  %turns = phi i64 [1, %single], [%count, %measure], [%count, %lead]
  %each = phi i64 [%extent, %single], [%length, %measure], [%length, %lead]
  br label %head
head:
  %i = phi i64 [0, %in_turn], [%following, %look]
  %more = icmp ult i64 %i, %turns
  br i1 %more, label %turn, label %done
turn:
  %following = add i64 %i, 1
  %status = call i32 @run_share(ptr %kernel, ptr %frame, ptr %own, i64 %i, i64 %each, i64 %extent, i64 0)
  %fine = icmp eq i32 %status, 0
  br i1 %fine, label %look, label %stop
look:
  %interrupt = call i32 @interrupted()
  %goes_on = icmp eq i32 %interrupt, 0
  br i1 %goes_on, label %head, label %stop
stop:
  %why = phi i32 [%status, %turn], [%interrupt, %look]
  ret i32 %why
done:
  ret i32 0
}

; What the loop over a table of steps asks after each.
define internal i32 @look_at_signals(ptr %seen, i64 %i) alwaysinline {
  %interrupt = call i32 @interrupted()
  ret i32 %interrupt
}

; That loop, called with Python's lock and run without it.
define i32 @drive_unlocked(ptr %frame, ptr %table, i64 %count) {
  %thread = call ptr @PyEval_SaveThread()
  %status = call i32 @drive_at_large(ptr %frame, ptr %table, i64 %count)
  call void @PyEval_RestoreThread(ptr %thread)
  ret i32 %status
}
