"""The languages of knowledge bases: which have a stemmer, and the words of each that say nothing about a text."""

# ruff: noqa: RUF001 - letters of other languages look like those of English

from functools import cache

# As PyStemmer calls them.
STEMMED = frozenset(
    (  # noqa: SIM905
        "arabic armenian basque catalan czech danish dutch english esperanto estonian finnish french german greek hindi"
        " hungarian indonesian irish italian lithuanian nepali norwegian persian polish portuguese romanian russian"
        " serbian spanish swedish tamil turkish yiddish"
    ).split()
)
# Without stemmer. `none` takes words as they are, of any language.
LANGUAGES = (*sorted(STEMMED), "chinese", "japanese", "korean", "none", "thai")

_STOP_WORDS = {
    "english": """a about all also am an and any are as at be because been being but by can could did do does doing for
        from had has have having he her hers him his how i if in into is it its just me my no nor not of on or our ours
        s she should so some such t than that the their theirs them then there these they this those to too us very was
        we were what when where which while who whom whose why will with would you your yours d ll re ve m""",
    "german": """aber als am an auch auf aus bei bin bis bist da damit das dass dem den der des die dies diese diesem
        diesen dieser dieses doch du durch ein eine einem einen einer eines er es für hat hatte ich ihm ihn ihr ihre im
        in ist ja kann können man mich mir mit muss nach nicht noch nur ob oder ohne sein seine sich sie sind so über um
        und uns unter vom von vor war waren was welche welcher welches wenn wer werden wie wir wird wo wurde zu zum
        zur""",
    "french": """à au aux avec c ce ces cet cette comme d dans de des du elle elles en est et étaient était être eu il
        ils j je l la le les leur leurs lui m ma mais me mes mon n ne nos notre nous on ont ou où par pas pour qu quand
        que quel quelle quels quelles qui s sa sans se ses si son sont sur t ta te tes ton tu un une vos votre vous y
        a""",
    "spanish": """a al como con cual cuando de del donde el él ella ellas ellos en entre era es esa ese eso esta está
        este esto ha han la las le les lo los más me mi muy no nos o para pero por porque qué que quien se ser si sí sin
        sobre son su sus también te tu un una uno y ya""",
    "italian": """a ad ai al alla alle anche c che chi ci come con cosa cui d da dal dalla dei del della delle dello di
        e è ed era gli ha hanno i il in io l la le lei lo loro lui ma mi ne nei nel nella non o per più quale quali
        quando quello questa questo se si sono su sua sul sulla suo tra un una uno""",
    "portuguese": """a ao aos as à às com como da das de dela dele do dos e é ela ele eles em entre era essa esse esta
        está este eu foi há isso isto já lhe mais mas me na não nas no nos o os ou para pela pelo por qual quando que
        quem se sem ser seu são sua também te um uma você""",
    "dutch": """aan al als bij dan dat de den der deze die dit door een en er had heb heeft hem het hij hoe ik in is je
        kan maar me met mijn naar niet nog nu of om onder ons ook op over te tot uit van voor waar waren was wat we wel
        welke werd wie wij worden wordt zal ze zich zij zijn zo""",
    "swedish": """alla att av blev då de den denna det detta din du där efter ej eller en er ett från för ha hade han
        har hon hur i icke in inte jag kan man med men mig mot när ni nu och om oss på sedan sig sin som så till under
        upp ut vad var vara vi vid vilken är""",
    "danish": """af alle at blev da de dem den denne der det dette dig din du efter eller en er et for fra ham han har
        have hun hvad hvem hvis hvor i ikke ind jeg kan man med men mig min når nu og også om op os på sig sin skal som
        så til ud under var vi vil være""",
    "norwegian": """alle at av ble da de dem den denne der det dette din du eller en er et etter for fra ha han har hun
        hva hvem hvis hvor i ikke inn jeg kan man med men meg min når nå og også om opp oss på seg sin skal som så til
        under ut var vi vil være""",
    "finnish": """ei en että eli ett he hän ja jo joka jos jotka kanssa kuin kun me mikä minä mitä mutta myös ne niin
        nyt ole oli olla on ovat se sen sekä sinä tai te tämä vain vaan""",
    "russian": """а без бы был была были было быть в вам вас весь во вот все всё вы где да для до его ее её если есть
        ещё же за и из или им их к как ко когда кто ли мне мы на над не него нее нет ни но ну о об он она они оно от по
        под при с со так также там то того тоже только том ты у уже что чтобы чем эта эти это этот я""",
    "polish": """a aby ale bo być był była było by co czy dla do gdy gdzie go i ich ja jak jako je jego jej jest już
        kiedy kto która które który lub ma mi może na nad nie niż o od on ona oni po pod przez przy są się ta tak także
        tam te tego ten to tu ty u w we z za ze że""",
    "turkish": """acaba ama bana bazı ben bir biz bu çok da daha de diye en gibi hem hangi her için ile ise kadar ki kim
        mi mı mu mü nasıl ne neden nerede o olan olarak sen siz şu ve veya ya yok""",
}


@cache
def stop_words(language: str) -> frozenset[str]:
    return frozenset(_STOP_WORDS.get(language, "").split())
