from shared.web.errors import AppError, Conflict, Invalid, NotFound


class DocumentNotFound(NotFound):
    code = "document_not_found"
    message = "There is no such document."


class VersionNotFound(NotFound):
    code = "document_version_not_found"
    message = "There is no such version of the document, or it is no longer kept."


class DocumentBusy(Conflict):
    code = "document_busy"
    message = "The document is being processed. Wait until it is ready or failed."


class DocumentDuplicate(Conflict):
    code = "document_duplicate"
    message = "The knowledge base already holds a document with this content."


class DocumentNotReplaceable(Conflict):
    code = "document_not_replaceable"
    message = "The document comes from elsewhere and is renewed there."


class DocumentNotRead(Conflict):
    code = "document_not_read"
    message = "The document has no text yet."


class NotMultipart(AppError):
    status = 415
    code = "unsupported_media_type"
    message = "Files are uploaded as multipart/form-data."


class UploadMalformed(Invalid):
    code = "upload_malformed"
    message = "The upload is not the multipart/form-data that is expected here."


class TooManyFiles(AppError):
    status = 413
    code = "too_many_files"
    message = "Too many files at once."


class FilesTooLarge(AppError):
    status = 413
    code = "document_too_large"
    message = "No file was accepted."


class FilesUnsupported(AppError):
    status = 415
    code = "document_type_unsupported"
    message = "No file was accepted."


class FilesRefused(Invalid):
    code = "upload_refused"
    message = "No file was accepted."
