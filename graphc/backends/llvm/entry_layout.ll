; The native entry: what depends on where NumPy's arrays keep things.

; The tables of a context.
define internal ptr @context_of(ptr %self) alwaysinline {
  %words = get ptr %self:context.words
  %context = get ptr %words:array.data
  ret ptr %context
}

; The address of an array's first element.
define internal ptr @data_of(ptr %array) alwaysinline {
  %data = get ptr %array:array.data
  ret ptr %data
}

; Write an array into the frame: how many bytes it has, or -1 if it is not what the row wants.
define internal i64 @take(ptr %row, ptr %x) alwaysinline {
start:
  %descr = get ptr %x:array.descr
  %wanted = get ptr %row:input.descr
  %same = icmp eq ptr %descr, %wanted
  br i1 %same, label %known, label %alike
alike:                                            ; a dtype that comes out of a pickle is an object of its own
  %code = get i32 %descr:descr.number
  %wanted_code = get i32 %row:input.number
  %same_code = icmp eq i32 %code, %wanted_code
  %order = get i8 %descr:descr.order
  %native = icmp ne i8 %order, ${swapped}
  %equal = and i1 %same_code, %native
  br i1 %equal, label %known, label %refuse
known:
  %axes = get i32 %x:array.ndim
  %ndim = get i32 %row:input.ndim
  %same_rank = icmp eq i32 %axes, %ndim
  %flags = get i32 %x:array.flags
  %readable = and i32 %flags, ${readable}
  %is_readable = icmp eq i32 %readable, ${readable}
  %fits = and i1 %same_rank, %is_readable
  br i1 %fits, label %fill, label %refuse
fill:
  %data = get ptr %x:array.data
  %dims = get ptr %x:array.dims
  %bytes = call i64 @fill(ptr %row, ptr %data, ptr %dims)
  ret i64 %bytes
refuse:
  ret i64 -1
}

; How many there are that hold an object.
define internal i32 @references(ptr %object) alwaysinline {
  %references = get i32 %object:object.references
  ret i32 %references
}

; Whether an array can be a result again: nobody else holds it, nor has changed what it is, and it has these sizes.
define internal i1 @reusable(ptr %row, ptr %old, ptr %dims) alwaysinline {
start:
  %type = get ptr %old:object.type
  %is_array = icmp eq ptr %type, @PyArray_Type
  br i1 %is_array, label %inspect, label %no
inspect:
  %references = get i32 %old:object.references
  %is_ours = icmp eq i32 %references, 1
  %axes = get i32 %old:array.ndim
  %ndim = get i32 %row:result.ndim
  %same_rank = icmp eq i32 %axes, %ndim
  %flags = get i32 %old:array.flags
  %telling = and i32 %flags, ${reusable_mask}
  %is_reusable = icmp eq i32 %telling, ${reusable}
  %base = get ptr %old:array.base
  %no_base = icmp eq ptr %base, null
  %weakrefs = get ptr %old:array.weakrefs
  %no_weakrefs = icmp eq ptr %weakrefs, null
  %descr = get ptr %old:array.descr
  %wanted = get ptr %row:result.descr
  %same_descr = icmp eq ptr %descr, %wanted
  %good1 = and i1 %is_ours, %same_rank
  %good2 = and i1 %is_reusable, %no_base
  %good3 = and i1 %no_weakrefs, %same_descr
  %good12 = and i1 %good1, %good2
  %good = and i1 %good12, %good3
  br i1 %good, label %compare, label %no
compare:
  %old_dims = get ptr %old:array.dims
  each %axis of size in %row:result.sizes
  %old_size.at = phi ptr [%old_dims, %axis.start], [%old_size.next, %axis.next]
  %size.at = phi ptr [%dims, %axis.start], [%size.next, %axis.next]
  %old_size = load i64, ptr %old_size.at
  %size = load i64, ptr %size.at
  %old_size.next = getelementptr i64, ptr %old_size.at, i64 1
  %size.next = getelementptr i64, ptr %size.at, i64 1
  %equals = icmp eq i64 %old_size, %size
  br i1 %equals, label %equal, label %no
equal:
  next %axis
  ret i1 true
no:
  ret i1 false
}
